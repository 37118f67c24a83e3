package bootstrap

import (
	"fmt"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// renewMember renews the certificates of a member that runs, when less than half of their life
// is left: one member after the other. Of one that is begun or restarted they are new anyway.
func (p *planner) renewMember(h v1alpha1.Host) {
	if p.step(id(tasks.Etcd, h)).Skip == "" {
		return
	}
	s, due := p.renewal(h, "renew-etcd", "the etcd member's certificates", certs.EtcdServer, certs.EtcdPeer)
	if !due {
		return
	}
	s.After = append([]string{id(tasks.Etcd, h)}, p.renewals()...)
	p.add(s)
}

// renewLogin renews an apiserver's login to etcd.
func (p *planner) renewLogin(h v1alpha1.Host) {
	if !p.o[h.Name].Facts.State.ControlPlane || len(p.in.EtcdCAs) == 0 {
		return
	}
	s, due := p.renewal(h, "renew-etcd-login", "the certificate with which its apiserver logs in to etcd", certs.EtcdClient)
	if due {
		s.After = []string{tasks.EtcdHealth}
		p.add(s)
	}
}

func (p *planner) renewal(h v1alpha1.Host, kind, what string, names ...string) (plan.Step, bool) {
	var first time.Time
	for name, end := range p.o[h.Name].Facts.State.Due {
		if slices.Contains(names, name) && (first.IsZero() || end.Before(first)) {
			first = end
		}
	}
	verb := "ends"
	if first.Before(p.o[h.Name].Facts.Time) {
		verb = "ended"
	}
	return plan.Step{ID: kind + "/" + h.Name, Host: h.Name, Task: tasks.InstallCertificates, Timeout: renewTimeout, Spec: certs.RequestSpec{Names: names},
		Title: fmt.Sprintf("renew %s (%s on %s)", what, verb, first.UTC().Format(time.DateOnly))}, !first.IsZero()
}

// renewals are the steps that renew certificates.
func (p *planner) renewals() []string {
	var out []string
	for _, s := range p.steps {
		if s.Task == tasks.InstallCertificates {
			out = append(out, s.ID)
		}
	}
	return out
}
