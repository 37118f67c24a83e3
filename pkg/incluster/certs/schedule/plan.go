package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	// renewAt is the part of its life after which a certificate is renewed. Those who renew by
	// hand do so from the half on, and so come first.
	renewAt = 2. / 3
	// WarnBefore is when a certificate's end is told of that nobody in the cluster can renew.
	WarnBefore = 60 * 24 * time.Hour
)

// plan is what is renewed on nodes now, in the order of the hosts. It is pure.
func plan(hosts []v1alpha1.Host, found map[string]certs.LookData, life time.Duration) []v1alpha1.NodeCertificates {
	var out []v1alpha1.NodeCertificates
	for _, h := range hosts {
		one := v1alpha1.NodeCertificates{Name: h.Name}
		if life > 0 {
			one.Validity = life.String()
		}
		data := found[h.Name]
		for _, c := range data.Certificates {
			if c.Name == "" || c.RenewedBy != certs.OwnerHost {
				continue
			}
			if pki.Spent(c.NotBefore, c.NotAfter, data.Time) >= renewAt || c.KeyState != certs.KeyFits {
				one.Local = append(one.Local, c.Name)
			}
		}
		if len(one.Local) > 0 {
			out = append(out, one)
		}
	}
	return out
}

// near is a certificate that ends soon and that nobody in the cluster can renew.
type near struct {
	host, name string
	notAfter   time.Time
	owner      certs.Owner
	// stranger: its host is no node.
	stranger bool
}

// ending are those of all hosts, the first that ends first. It is pure.
func ending(found map[string]certs.LookData, others []certs.Elsewhere, now time.Time) []near {
	var out []near
	add := func(n near) {
		if n.notAfter.Sub(now) <= WarnBefore {
			out = append(out, n)
		}
	}
	for host, data := range found {
		for _, c := range data.Certificates {
			if c.Name != "" && slices.Contains([]certs.Owner{certs.OwnerWorkstation, certs.OwnerElsewhere, certs.OwnerNobody}, c.RenewedBy) {
				add(near{host: host, name: c.Name, notAfter: c.NotAfter, owner: c.RenewedBy})
			}
		}
	}
	for _, o := range others {
		add(near{host: o.Host, name: o.Name, notAfter: o.NotAfter, owner: certs.OwnerWorkstation, stranger: true})
	}
	slices.SortFunc(out, func(a, b near) int {
		if order := a.notAfter.Compare(b.notAfter); order != 0 {
			return order
		}
		return strings.Compare(a.host+"/"+a.name, b.host+"/"+b.name)
	})
	return out
}

// say is a certificate's end for people.
func (n near) say(now time.Time) string {
	when := fmt.Sprintf("ends in %d days, at %s", int(n.notAfter.Sub(now).Hours()/24), n.notAfter.UTC().Format(time.RFC3339))
	if !n.notAfter.After(now) {
		when = "has ended, at " + n.notAfter.UTC().Format(time.RFC3339)
	}
	next := "kubectl ha certs renew, where the key of etcd's CA is"
	switch n.owner {
	case certs.OwnerElsewhere:
		next = "kubectl ha certs renew, with the CA's key or what was signed by it"
	case certs.OwnerNobody:
		next = "it is to be renewed by whoever has signed it"
	}
	return fmt.Sprintf("%s of %s %s; %s", n.name, n.host, when, next)
}
