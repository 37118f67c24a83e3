package upgrade

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// kubeletSkew is by how many minor versions a kubelet may be older than an apiserver.
// https://kubernetes.io/releases/version-skew-policy/#kubelet
const kubeletSkew = 3

// Versions are those that run, by node.
type Versions struct {
	// APIServers are the control planes'.
	APIServers map[string]string
	// Kubelets are all nodes'.
	Kubelets map[string]string
}

// Skew says why nodes may not be brought to a version; nothing when they may.
// Wherever it can it says which versions are possible.
//
// The rules are those of https://kubernetes.io/releases/version-skew-policy/ and
// of kubeadm, which does one minor version at a time and never goes back:
// https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/
func Skew(target string, only v1alpha1.UpgradeScope, have Versions) []Finding {
	to, err := parse(target)
	if err != nil {
		return []Finding{skew("", err.Error(), "")}
	}
	servers, bad := parseAll(have.APIServers)
	kubelets, badToo := parseAll(have.Kubelets)
	if out := append(bad, badToo...); len(out) > 0 {
		return out
	}
	if len(servers) == 0 {
		return []Finding{skew("", "no control plane's version is known", "look at the static pods in kube-system")}
	}
	lowest, highest := bounds(servers)
	if only == v1alpha1.UpgradeNodes {
		return append(nodesOnly(to, lowest), kubeletRules(to, kubelets, false)...)
	}
	possible := "possible from here: " + Possible(lowest, highest)
	var out []Finding
	switch {
	case to.LessThan(highest):
		out = append(out, skew("", fmt.Sprintf("%s is older than %s, which runs: the API's stored objects do not go back", target, text(highest)), possible))
	case to.Major() != lowest.Major() || to.Minor() > lowest.Minor()+1:
		out = append(out, skew("", fmt.Sprintf("%s is more than one minor version after %s, which runs: one at a time", target, text(lowest)), possible))
	case to.Minor() < v1alpha1.MinMinor || to.Minor() > v1alpha1.MaxMinor:
		out = append(out, skew("", fmt.Sprintf("%s is not supported by this kubectl-ha, which knows %s", target, v1alpha1.SupportedVersions), possible))
	}
	if len(out) > 0 {
		return out // What follows would only repeat it.
	}
	return kubeletRules(to, kubelets, true)
}

// nodesOnly: a kubelet must not be newer than any apiserver that it may talk to.
func nodesOnly(to, lowest *version.Version) []Finding {
	if !lowest.LessThan(to) {
		return nil
	}
	return []Finding{skew("", fmt.Sprintf("the workers can't be brought to %s while an apiserver runs %s: a kubelet must not be newer", text(to), text(lowest)),
		"bring the control planes there first, with --only control-plane; possible now: "+text(lowest))}
}

func kubeletRules(to *version.Version, kubelets map[string]*version.Version, servers bool) []Finding {
	var out []Finding
	for _, n := range slices.Sorted(maps.Keys(kubelets)) {
		k := kubelets[n]
		switch {
		case to.LessThan(k):
			out = append(out, skew(n, fmt.Sprintf("its kubelet runs %s, which is newer than %s: nodes are not brought back", text(k), text(to)), "choose "+text(k)+" or later"))
		case servers && k.Minor()+kubeletSkew < to.Minor():
			out = append(out, skew(n, fmt.Sprintf("its kubelet runs %s, more than %d minor versions behind %s", text(k), kubeletSkew, text(to)), "bring the nodes on first, with --only nodes"))
		}
	}
	return out
}

// Possible names for people what a cluster can be brought to.
func Possible(lowest, highest *version.Version) string {
	var out []string
	for minor := lowest.Minor(); minor <= lowest.Minor()+1; minor++ {
		switch {
		case minor < highest.Minor() || minor < v1alpha1.MinMinor || minor > v1alpha1.MaxMinor:
		case minor == highest.Minor() && highest.Patch() > 0:
			out = append(out, fmt.Sprintf("v1.%d.%d and later of v1.%d", minor, highest.Patch(), minor))
		default:
			out = append(out, fmt.Sprintf("any v1.%d", minor))
		}
	}
	if len(out) == 0 {
		return "nothing that this kubectl-ha knows"
	}
	return strings.Join(out, ", ")
}

// Allowed are those of some versions that a cluster can be brought to and is not
// at already, the lowest first.
func Allowed(available []string, have Versions) []string {
	var out []string
	for _, v := range available {
		if len(Skew(v, v1alpha1.UpgradeAll, have)) == 0 && !allAt(v, have) && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		// Skew has parsed them.
		c, _ := version.MustParseSemantic(a).Compare(b)
		return c
	})
	return out
}

// NextMinors are the minor versions that a cluster may be brought to: its own and
// the next, as far as they are known.
func NextMinors(have Versions) []uint {
	servers, _ := parseAll(have.APIServers) // What can't be told, Skew refuses.
	lowest, highest := bounds(servers)
	var out []uint
	if lowest == nil {
		return nil
	}
	for m := highest.Minor(); m <= lowest.Minor()+1; m++ {
		if m >= v1alpha1.MinMinor && m <= v1alpha1.MaxMinor {
			out = append(out, m)
		}
	}
	return out
}

func allAt(v string, have Versions) bool {
	for _, m := range []map[string]string{have.APIServers, have.Kubelets} {
		for _, h := range m {
			if h != v {
				return false
			}
		}
	}
	return true
}

func parse(s string) (*version.Version, error) {
	v, err := version.ParseSemantic(s)
	if err != nil || text(v) != s {
		return nil, fmt.Errorf("%q is no version; write it like %s", s, v1alpha1.DefaultKubernetesVersion)
	}
	return v, nil
}

func parseAll(have map[string]string) (map[string]*version.Version, []Finding) {
	out := map[string]*version.Version{}
	var bad []Finding
	for _, n := range slices.Sorted(maps.Keys(have)) {
		v, err := parse(have[n])
		if err != nil {
			bad = append(bad, skew(n, "what it runs can't be told: "+err.Error(), ""))
			continue
		}
		out[n] = v
	}
	return out, bad
}

func bounds(all map[string]*version.Version) (lowest, highest *version.Version) {
	for _, v := range all {
		if lowest == nil || v.LessThan(lowest) {
			lowest = v
		}
		if highest == nil || highest.LessThan(v) {
			highest = v
		}
	}
	return lowest, highest
}

// text writes a version as Kubernetes' releases are named.
func text(v *version.Version) string { return "v" + v.String() }

func skew(node, message, hint string) Finding {
	return Finding{Check: CheckSkew, Node: node, Blocks: true, Message: message, Hint: hint}
}
