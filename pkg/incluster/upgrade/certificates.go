package upgrade

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// soon is before a certificate's end when nothing long is begun any more with it.
const soon = 30 * 24 * time.Hour

// renewEtcds is what to do about certificates that etcd's CA has to sign.
const renewEtcds = "kubectl ha certs renew renews etcd's, where the key of etcd's CA is; kubeadm does not"

// Ending is a certificate in a host's files of which less than half of its life is left.
type Ending struct {
	Node string
	// Name is one of pkg/node/tasks/certs.
	Name     string
	NotAfter time.Time
	// Renewed says that it is renewed before the upgrade begins.
	Renewed bool
}

// renews tells whether a node's certificate is renewed before the upgrade begins.
func (o Observation) renews(node, name string) bool {
	return slices.ContainsFunc(o.Ending, func(e Ending) bool { return e.Renewed && e.Node == node && e.Name == name })
}

// etcdServing is the certificate that a member of etcd shows at its port.
func etcdServing(c *v1alpha1.Cluster) string {
	if c.Stacked() {
		return certs.LocalEtcdServer
	}
	return certs.EtcdServer
}

// checkCertificates names what ends soon and is not renewed before. kubeadm renews its own in an
// upgrade, also those of its own etcd, and nothing of an external etcd: with less than a month left of that
// nothing long is begun.
func checkCertificates(c *v1alpha1.Cluster, o Observation, now time.Time) []Finding {
	var out []Finding
	for _, e := range slices.Concat(o.APIServers, o.Etcd) {
		name := certs.APIServer
		if e.Etcd {
			name = etcdServing(c)
		}
		left, external := e.NotAfter.Sub(now), e.Etcd && !c.Stacked()
		if e.NotAfter.IsZero() || left > soon && (!external || !e.Due) || o.renews(e.Node, name) {
			continue
		}
		f := Finding{Check: CheckCertificates, Node: e.Node, Message: fmt.Sprintf("the certificate at %s ends at %s", e.Address, e.NotAfter.UTC().Format(time.RFC3339)), Hint: "the upgrade renews it"}
		if external {
			f.Blocks, f.Hint = left < soon, renewEtcds
		}
		out = append(out, f)
	}
	return append(out, checkEnding(c, o, now)...)
}

// checkEnding names what is in files only, of each node in a line; what is seen at its port has
// been named.
func checkEnding(c *v1alpha1.Cluster, o Observation, now time.Time) []Finding {
	var nodes []string
	names, first := map[string][]string{}, map[string]time.Time{}
	for _, e := range o.Ending {
		shown := e.Name == etcdServing(c) && slices.ContainsFunc(o.Etcd, func(m Endpoint) bool { return m.Node == e.Node && !m.NotAfter.IsZero() })
		if e.Renewed || shown {
			continue
		}
		if len(names[e.Node]) == 0 {
			nodes, first[e.Node] = append(nodes, e.Node), e.NotAfter
		}
		names[e.Node] = append(names[e.Node], e.Name)
		if e.NotAfter.Before(first[e.Node]) {
			first[e.Node] = e.NotAfter
		}
	}
	var out []Finding
	for _, n := range nodes {
		end := first[n]
		out = append(out, Finding{Check: CheckCertificates, Node: n, Blocks: end.Sub(now) < soon, Hint: renewEtcds,
			Message: fmt.Sprintf("less than half of the life is left of %s, until %s", strings.Join(names[n], ", "), end.UTC().Format(time.RFC3339))})
	}
	return out
}
