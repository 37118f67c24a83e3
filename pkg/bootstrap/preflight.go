package bootstrap

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Inputs are what Preflight and MakePlan take into account besides the Cluster
// and what was observed.
type Inputs struct {
	// Contents are the bundle's; nil when they are not known.
	Contents *bundle.Contents
	// Identity is what the cluster is known by: the fingerprint (hex SHA-256 of the DER) of its
	// first etcd CA. Empty when this workstation has none yet.
	Identity string
	// EtcdCAs are the fingerprints of the CAs that members may have: one, or two during a rotation,
	// until that is complete, the one that signs first.
	EtcdCAs []string
	// OwnCAs are the fingerprints of the CAs that the user has given for the cluster, and Notes what a
	// plan says of them.
	OwnCAs map[certs.Authority]string
	Notes  []string
	// AgentImage is the reference given to the agent's own image, and AgentDigest what is to be
	// under it on these hosts, as pods name it. An empty digest is not known.
	AgentImage, AgentDigest string
	// Running says that the cluster runs, on hosts that were not looked at: the
	// virtual IP answers, and its control planes speak VRRP.
	Running bool
}

// checker collects the findings of one preflight.
type checker struct {
	c  *v1alpha1.Cluster
	o  Observation
	in Inputs

	findings []report.Finding
}

// Preflight judges what was observed: every check on every host, all findings
// at once, in the order of the hosts. It is pure.
func Preflight(c *v1alpha1.Cluster, o Observation, in Inputs) []report.Finding {
	k := &checker{c: c, o: o, in: in}
	for _, h := range c.Spec.Hosts {
		seen, looked := o[h.Name]
		if !looked && in.Running {
			continue
		}
		if seen.Err != nil {
			k.connection(h, seen.Err)
			continue
		}
		for _, check := range []func(v1alpha1.Host, HostObservation){
			k.belongs, k.system, k.cgroups, k.size, k.disk, k.swap, k.commands, k.programs,
			k.ports, k.address, k.keepalived, k.virtualIP, k.etcdData, k.topology,
		} {
			check(h, seen)
		}
	}
	k.clocks()
	k.identities()
	k.architectures()
	k.authorities()
	k.ownCAs()
	k.versions()
	k.etcdArgs()
	k.routerID()
	return k.findings
}

func (k *checker) err(host, check, hint, format string, args ...any) {
	k.findings = append(k.findings, report.Finding{Node: host, Check: check, Severity: report.SeverityError, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (k *checker) warn(host, check, hint, format string, args ...any) {
	k.findings = append(k.findings, report.Finding{Node: host, Check: check, Severity: report.SeverityWarning, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// seen are the hosts that could be looked at, in the file's order.
func (k *checker) seen() []v1alpha1.Host {
	var out []v1alpha1.Host
	for _, h := range k.c.Spec.Hosts {
		if o, ok := k.o[h.Name]; ok && o.Err == nil {
			out = append(out, h)
		}
	}
	return out
}

// ours tells whether the host belongs to this cluster already.
func (k *checker) ours(host string) bool {
	ours := k.o[host].Facts.Ours
	return ours != nil && ours.Cluster == k.c.Metadata.Name
}

// ignored tells whether the user told kubeadm to ignore one of its checks; ours
// of the same matter then warns only.
// https://kubernetes.io/docs/reference/setup-tools/kubeadm/implementation-details/#preflight-checks
func (k *checker) ignored(name string) bool {
	list := k.c.Spec.Kubeadm.IgnorePreflightErrors
	return slices.Contains(list, name) || slices.Contains(list, "all")
}

// bad is an error, or a warning when the user told kubeadm to ignore the same.
func (k *checker) bad(host, check, ignore, hint, format string, args ...any) {
	if k.ignored(ignore) {
		k.warn(host, check, hint, format, args...)
		return
	}
	k.err(host, check, hint, format, args...)
}

func (k *checker) connection(h v1alpha1.Host, err error) {
	hint := ""
	var more plan.Explained
	if errors.As(err, &more) {
		_, hint = more.Explain()
	}
	message := err.Error()
	if prefix := h.Name + ": "; len(message) > len(prefix) && message[:len(prefix)] == prefix {
		message = message[len(prefix):]
	}
	k.err(h.Name, "connection", hint, "%s", message)
}

// kubelet looks up a boolean that the user set for the kubelets.
func (k *checker) kubelet(field string) (value, set bool) {
	value, set = k.c.Spec.Kubeadm.KubeletConfiguration[field].(bool)
	return value, set
}
