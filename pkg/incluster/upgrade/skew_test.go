package upgrade

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func running(server, kubelet string) Versions {
	return Versions{
		APIServers: map[string]string{"cp1": server, "cp2": server, "cp3": server},
		Kubelets:   map[string]string{"cp1": server, "cp2": server, "cp3": server, "w1": kubelet},
	}
}

func messages(all []Finding) string {
	var out []string
	for _, f := range all {
		out = append(out, f.String())
	}
	return strings.Join(out, "; ")
}

func TestSkew(t *testing.T) {
	mixed := running("v1.35.4", "v1.35.4")
	mixed.APIServers["cp1"], mixed.Kubelets["cp1"] = "v1.36.3", "v1.36.3"
	for name, c := range map[string]struct {
		target string
		only   v1alpha1.UpgradeScope
		have   Versions
		want   string // part of the message; empty when it is allowed
	}{
		"one minor version":              {"v1.36.3", "", running("v1.35.4", "v1.35.4"), ""},
		"a patch":                        {"v1.36.3", "", running("v1.36.1", "v1.36.1"), ""},
		"the same":                       {"v1.36.3", "", running("v1.36.3", "v1.36.3"), ""},
		"down a patch":                   {"v1.36.1", "", running("v1.36.3", "v1.36.3"), "v1.36.1 is older than v1.36.3"},
		"down a minor version":           {"v1.35.9", "", running("v1.36.3", "v1.36.3"), "older"},
		"long ago":                       {"v1.9.2", "", running("v1.35.4", "v1.35.4"), "v1.9.2 is older than v1.35.4, which runs: the API's stored objects do not go back (possible from here: v1.35.4 and later of v1.35, any v1.36)"},
		"two minor versions":             {"v1.37.0", "", running("v1.35.4", "v1.35.4"), "one at a time"},
		"another major version":          {"v2.36.0", "", running("v1.35.4", "v1.35.4"), "one at a time"},
		"no version":                     {"1.36", "", running("v1.35.4", "v1.35.4"), "write it like"},
		"without its v":                  {"1.36.3", "", running("v1.35.4", "v1.35.4"), "write it like"},
		"beyond what is known":           {"v1.38.0", "", running("v1.37.0", "v1.37.0"), "not supported"},
		"an unfinished one, on":          {"v1.36.3", "", mixed, ""},
		"an unfinished one, back":        {"v1.35.4", "", mixed, "older"},
		"an unfinished one, beyond":      {"v1.37.0", "", mixed, "one at a time"},
		"a candidate after its release":  {"v1.36.0-rc.1", "", running("v1.36.0", "v1.36.0"), "older"},
		"kubelet three behind":           {"v1.37.1", "", running("v1.36.3", "v1.34.1"), ""},
		"kubelet four behind":            {"v1.37.1", "", running("v1.36.3", "v1.33.9"), "w1: its kubelet runs v1.33.9, more than 3 minor versions behind v1.37.1"},
		"kubelet newer":                  {"v1.36.1", "", Versions{APIServers: map[string]string{"cp1": "v1.36.1"}, Kubelets: map[string]string{"w1": "v1.36.3"}}, "w1: its kubelet runs v1.36.3, which is newer"},
		"nodes up to the apiservers":     {"v1.36.3", v1alpha1.UpgradeNodes, running("v1.36.3", "v1.34.1"), ""},
		"nodes from long ago":            {"v1.36.3", v1alpha1.UpgradeNodes, running("v1.36.3", "v1.33.1"), ""},
		"nodes beyond an apiserver":      {"v1.36.3", v1alpha1.UpgradeNodes, mixed, "can't be brought to v1.36.3 while an apiserver runs v1.35.4"},
		"nodes, a patch beyond":          {"v1.36.4", v1alpha1.UpgradeNodes, running("v1.36.3", "v1.36.3"), "newer"},
		"nodes back":                     {"v1.36.1", v1alpha1.UpgradeNodes, running("v1.36.3", "v1.36.2"), "nodes are not brought back"},
		"control planes, kubelet behind": {"v1.37.1", v1alpha1.UpgradeControlPlanes, running("v1.36.3", "v1.33.9"), "bring the nodes on first"},
		"nothing is known":               {"v1.36.3", "", Versions{}, "no control plane's version"},
		"nonsense runs":                  {"v1.36.3", "", Versions{APIServers: map[string]string{"cp1": "latest"}}, `cp1: what it runs can't be told: "latest"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := Skew(c.target, c.only, c.have)
			if text := messages(got); (c.want == "") != (len(got) == 0) || !strings.Contains(text, c.want) {
				t.Errorf("got %q, want %q", text, c.want)
			}
			for _, f := range got {
				if !f.Blocks || f.Check != CheckSkew {
					t.Errorf("%+v stops nothing", f)
				}
			}
		})
	}
}

func TestAllowed(t *testing.T) {
	available := []string{"v1.37.0", "v1.36.3", "v1.36.10", "v1.35.4", "v1.35.3", "v1.35.5", "nonsense", "v1.36.3"}
	got := Allowed(available, running("v1.35.4", "v1.35.4"))
	if want := []string{"v1.35.5", "v1.36.3", "v1.36.10"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// Nodes that were left behind can be brought on.
	if got := Allowed([]string{"v1.36.3"}, running("v1.36.3", "v1.35.4")); !slices.Equal(got, []string{"v1.36.3"}) {
		t.Errorf("got %v", got)
	}
}

func TestCheckRollback(t *testing.T) {
	c := storedDocument()
	at := func(cp1, cp2, cp3, k1, k2, k3, w1 string) Observation {
		o := well("v1.36.3")
		for n, v := range map[string][2]string{"cp1": {cp1, k1}, "cp2": {cp2, k2}, "cp3": {cp3, k3}} {
			one := o.Nodes[n]
			one.Kubelet, one.Static = v[1], static(v[0])
			o.Nodes[n] = one
		}
		for _, n := range []string{"w1", "w2", "w3"} {
			o = change(o, n, func(n *Node) { n.Kubelet = w1 })
		}
		return o
	}
	const a, b, old = "v1.35.4", "v1.36.3", "v1.36.1"
	for name, c2 := range map[string]struct {
		node, version string
		o             Observation
		want          string
	}{
		"the first, a minor version":  {"cp1", a, at(b, a, a, b, a, a, a), ""},
		"the last of them":            {"cp3", a, at(b, b, b, b, b, a, a), "newer than the apiserver"},
		"all have left it":            {"cp3", a, at(b, b, b, a, a, a, a), "every control plane has left v1.35"},
		"a patch, after all":          {"cp1", old, at(b, b, b, b, b, b, b), ""},
		"a worker":                    {"w1", a, at(b, b, b, b, b, b, b), ""},
		"a worker, newer":             {"w1", "v1.36.4", at(b, b, b, b, b, b, b), "newer than an apiserver"},
		"a worker, too old":           {"w1", "v1.32.0", at(b, b, b, b, b, b, b), "more than 3"},
		"with newer kubelets":         {"cp2", a, at(b, b, a, b, b, a, a), "cp1: its kubelet runs v1.36.3"},
		"nobody":                      {"x", a, at(b, a, a, b, a, a, a), "no node"},
		"a node without the document": {"w9", a, at(b, a, a, b, a, a, a), "no node"},
		"no version":                  {"cp1", "old", at(b, a, a, b, a, a, a), "no version"},
	} {
		t.Run(name, func(t *testing.T) {
			got := messages(CheckRollback(c, &v1alpha1.RollbackNodeSpec{Node: c2.node, Version: c2.version}, c2.o))
			if (c2.want == "") != (got == "") || !strings.Contains(got, c2.want) {
				t.Errorf("got %q, want %q", got, c2.want)
			}
		})
	}
}
