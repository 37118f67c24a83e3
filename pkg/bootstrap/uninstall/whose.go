package uninstall

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// strangers finds the hosts that belong to another cluster, or of which that can't be told.
// A name is not enough, since most clusters have the same: what counts is the etcd CA, which
// is this machine's, and for a host that knows none the cluster's CA, which has to be that of
// a host that is known.
func strangers(c *v1alpha1.Cluster, seen map[string]Seen, in Inputs) []report.Finding {
	var bad []report.Finding
	refuse := func(host, hint, format string, args ...any) {
		bad = append(bad, report.Finding{Node: host, Check: "cluster", Severity: report.SeverityError, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	identities, known := map[string][]string{}, map[string]bool{}
	var unknown []string
	for _, h := range c.Spec.Hosts {
		s := seen[h.Name]
		switch id := s.identity(in); {
		case s.Err != nil || s.Cluster == "":
		case s.Cluster != c.Metadata.Name:
			refuse(h.Name, fmt.Sprintf("use the Cluster file of %s for it, and take the host out of this one", s.Cluster),
				"this host belongs to the cluster %q, not to %q", s.Cluster, c.Metadata.Name)
		case id == "":
			unknown = append(unknown, h.Name)
		case in.Identity != "" && id != in.Identity:
			refuse(h.Name, "compare the host's address in the Cluster file: it is the other cluster's. To take that one apart use its own Cluster file, on the machine where it was made",
				"this host belongs to another cluster that is called %q as well: the etcd CA of that is %.12s, of this one %.12s", s.Cluster, id, in.Identity)
		default:
			identities[id] = append(identities[id], h.Name)
			known[s.ClusterCA] = true
		}
	}
	if len(identities) > 1 {
		refuse("", "take out of the Cluster file what is not this cluster's", "the hosts are of different clusters of this name, with %d etcd CAs: %s", len(identities), listed(identities))
	}
	if in.Unidentified {
		return bad
	}
	delete(known, "")
	for _, host := range unknown {
		if in.Identity == "" || !known[seen[host].ClusterCA] {
			refuse(host, "look whether its address is right; --unidentified takes it all the same",
				"whether this host is of this cluster %s or of another one of the name can't be told", c.Metadata.Name)
		}
	}
	if in.Identity == "" && len(identities) > 0 {
		refuse("", "run it where the cluster was made, or copy that machine's state directory of this cluster here. Without it: compare the hosts' addresses, and add --unidentified",
			"the etcd CA is not on this machine, and only the name %s tells that these hosts are the cluster's: %s", c.Metadata.Name, listed(identities))
	}
	return bad
}

// identity is what tells the host's cluster from others of its name. A ledger of before there
// were such has none; then the etcd CA that is on the host tells it, which may be a later one than
// that by which the cluster is known.
func (s Seen) identity(in Inputs) string {
	switch {
	case s.Identity != "":
		return s.Identity
	case slices.Contains(in.EtcdCAs, s.EtcdCA):
		return in.Identity
	}
	return s.EtcdCA
}

func listed(hosts map[string][]string) string {
	var out []string
	for _, names := range hosts {
		out = append(out, strings.Join(names, " "))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}
