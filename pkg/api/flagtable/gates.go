package flagtable

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Gates are feature gates, of kubeadm itself (its ClusterConfiguration's
// featureGates) or of all components of Kubernetes.
type Gates struct {
	program string
	entries entries
}

// KubeadmGates are kubeadm's own.
func KubeadmGates() Gates { return Gates{"kubeadm", read(gateLines, "kubeadm")} }

// ComponentGates are those that apiserver, controller-manager, scheduler, kubelet
// and kube-proxy share.
func ComponentGates() Gates { return Gates{"Kubernetes", read(gateLines, "kubernetes")} }

// Check finds a gate that a minor version does not have, and a value that it does not
// take since the feature is there to stay, or to go (locked).
func (g Gates) Check(minor, name string, on bool) Problem {
	lock, p := g.entries.lookup(minor, name, g.program, "feature gate")
	if p.Message != "" {
		return p
	}
	if lock != "free" && lock != strconv.FormatBool(on) {
		return Problem{Message: fmt.Sprintf("%s: the feature gate is locked to %s in %s %s", name, lock, g.program, minor)}
	}
	return Problem{}
}

// Gone tells whether some older version has the gate and this one, which is known,
// has it no more.
func (g Gates) Gone(minor, name string) bool {
	in := g.entries[name]
	if _, has := in[minor]; has || !slices.Contains(g.entries.minors(), minor) {
		return false
	}
	for m := range in {
		if compare(m, minor) < 0 {
			return true
		}
	}
	return false
}

// ParseGates reads the value of a flag feature-gates: A=true,B=false. The error says
// which part can't be read. The names are without the component that
// kube-apiserver, kube-controller-manager and kube-scheduler take before one: kube:A=true.
func ParseGates(value string) (map[string]bool, error) { return parseGates(value, "kube:") }

// FormatGates is the way back, sorted by name.
func FormatGates(gates map[string]bool) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(gates)) {
		out = append(out, name+"="+strconv.FormatBool(gates[name]))
	}
	return strings.Join(out, ",")
}
