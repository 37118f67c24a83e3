package upgrade

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// The checks, by the names under which a person may choose to go on regardless.
const (
	CheckSkew         = "skew"
	CheckNodes        = "nodes"
	CheckAPIServers   = "apiservers"
	CheckEtcd         = "etcd"
	CheckCertificates = "certificates"
	CheckDisk         = "disk"
	CheckImages       = "images"
	CheckEvictions    = "evictions"
	CheckLocalData    = "local-data"
	CheckDeprecated   = "deprecated-apis"
	CheckGates        = "feature-gates"
	CheckRotation     = "rotation"
)

// Ignorable are the checks that a person may overrule; the others are about what
// would break the cluster.
func Ignorable() []string {
	return []string{CheckCertificates, CheckDisk, CheckEvictions, CheckDeprecated}
}

// Finding is one thing that was noticed; its Check is one of the names above.
type Finding = plan.Finding

// Blocking are the messages of what stands in the way, but for checks that are ignored.
func Blocking(all []Finding, ignore ...string) []Finding {
	var out []Finding
	for _, f := range all {
		if f.Blocks && !slices.Contains(ignore, f.Check) {
			out = append(out, f)
		}
	}
	return out
}

// Check says what was noticed about bringing a cluster to where the spec wants it,
// what stands in the way first. It is pure.
func Check(c *v1alpha1.Cluster, spec *v1alpha1.UpgradeSpec, o Observation, now time.Time) []Finding {
	out := Skew(spec.Version, spec.Only, o.Versions(c))
	out = append(out, checkNodes(c, spec, o)...)
	out = append(out, checkGroups(c, spec, o)...)
	out = append(out, checkServers(c, o)...)
	out = append(out, checkStackedEtcd(c, spec, o)...)
	out = append(out, checkCertificates(c, o, now)...)
	out = append(out, checkImages(spec, o)...)
	out = append(out, checkEvictions(c, spec, o)...)
	out = append(out, checkLocalData(c, spec, o)...)
	out = append(out, checkDeprecated(spec, o)...)
	out = append(out, checkGates(c, spec, o)...)
	slices.SortStableFunc(out, func(a, b Finding) int {
		switch {
		case a.Blocks == b.Blocks:
			return 0
		case a.Blocks:
			return -1
		}
		return 1
	})
	return out
}

func checkNodes(c *v1alpha1.Cluster, spec *v1alpha1.UpgradeSpec, o Observation) []Finding {
	var out []Finding
	for _, h := range c.Nodes() {
		n, ok := o.Nodes[h.Name]
		// A worker that is left alone need not be well.
		involved := inScope(h, spec.Only) || h.Has(v1alpha1.RoleControlPlane)
		switch {
		case !ok:
			out = append(out, Finding{Check: CheckNodes, Node: h.Name, Blocks: involved, Message: "it is in the Cluster document and no node of the cluster"})
			continue
		case n.NotReady != "":
			out = append(out, Finding{Check: CheckNodes, Node: h.Name, Blocks: involved, Message: "it is not ready: " + n.NotReady, Hint: "an upgrade takes one node after another away; all others must be well"})
		}
		for _, p := range n.Pressure {
			out = append(out, Finding{Check: CheckDisk, Node: h.Name, Blocks: involved, Message: p, Hint: "make room; kubectl ha images prune removes images that no pod uses"})
		}
	}
	for _, name := range o.Strangers(c) {
		out = append(out, Finding{Check: CheckNodes, Node: name, Message: "it is a node of the cluster and not in the Cluster document, so it stays as it is"})
	}
	return out
}

func checkServers(c *v1alpha1.Cluster, o Observation) []Finding {
	var out []Finding
	endpoint := func(check string, e Endpoint, what, hint string, all []Endpoint) {
		if e.Error == "" {
			return
		}
		// From a workstation the way to the hosts' own ports may simply not be open; it is
		// when another one answers.
		open := slices.ContainsFunc(all, func(e Endpoint) bool { return e.Error == "" })
		out = append(out, Finding{Check: check, Node: e.Node, Blocks: o.Inside || open, Message: fmt.Sprintf("%s at %s: %s", what, e.Address, e.Error), Hint: hint})
	}
	for _, e := range o.APIServers {
		endpoint(CheckAPIServers, e, "the apiserver", "every apiserver has to be well before one is taken away", o.APIServers)
	}
	for _, e := range o.Etcd {
		endpoint(CheckEtcd, e, "the etcd member", "every member has to be well before a control plane is taken away; look at journalctl -u etcd (kubeadm's own etcd: crictl logs)", o.Etcd)
	}
	if n := len(c.ControlPlanes()); n > 0 && n < 3 {
		out = append(out, Finding{Check: CheckAPIServers, Message: fmt.Sprintf("with %d control plane(s) the API is away while one is upgraded, or hangs on the other", n)})
	}
	return out
}

func checkImages(spec *v1alpha1.UpgradeSpec, o Observation) []Finding {
	var out []Finding
	for _, n := range o.sorted() {
		if refs := o.Missing[n]; len(refs) > 0 {
			out = append(out, Finding{Check: CheckImages, Node: n, Message: fmt.Sprintf("it lacks %d image(s) of %s: %s", len(refs), spec.Version, strings.Join(refs, ", ")),
				Hint: "they are brought to the nodes before anything else"})
		}
	}
	return out
}

func checkEvictions(c *v1alpha1.Cluster, spec *v1alpha1.UpgradeSpec, o Observation) []Finding {
	var out []Finding
	for _, h := range c.Nodes() {
		if !drained(h, spec) {
			continue
		}
		for _, b := range o.Blocked[h.Name] {
			if b.Unmanaged && spec.ForceDrain {
				continue
			}
			out = append(out, Finding{Check: CheckEvictions, Node: h.Name, Blocks: !spec.ForceDrain, Message: fmt.Sprintf("pod %s can't be evicted: %s", b.Pod, b.Reason),
				Hint: "see to the pod or its budget, or use --force-drain"})
		}
	}
	return out
}

// checkLocalData names the pods that lose data, and how many they are.
func checkLocalData(c *v1alpha1.Cluster, spec *v1alpha1.UpgradeSpec, o Observation) []Finding {
	var out []Finding
	for _, h := range c.Nodes() {
		pods := o.Local[h.Name]
		if !drained(h, spec) || len(pods) == 0 {
			continue
		}
		f := Finding{Check: CheckLocalData, Node: h.Name, Message: drain.LosesData(pods), Hint: "with --delete-emptydir-data=false the upgrade is not begun"}
		if !spec.DeletesEmptyDirData() {
			f.Blocks, f.Hint = true, "move what matters, or allow it with --delete-emptydir-data"
		}
		out = append(out, f)
	}
	return out
}

func checkDeprecated(spec *v1alpha1.UpgradeSpec, o Observation) []Finding {
	to, err := parse(spec.Version)
	if err != nil || spec.Only == v1alpha1.UpgradeNodes {
		return nil // Skew has said so; workers serve no API.
	}
	var out []Finding
	for _, d := range o.Deprecated {
		if removed, err := minorOf(d.Removed); err == nil && removed <= to.Minor() {
			out = append(out, Finding{Check: CheckDeprecated, Blocks: true, Message: fmt.Sprintf("%s is asked for by somebody, and v1.%d has it no more", d.Name(), removed),
				Hint: "find who asks in the audit log, by the annotation k8s.io/deprecated"})
		}
	}
	return out
}
