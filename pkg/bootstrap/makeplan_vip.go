package bootstrap

import (
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// vip is idempotent and quick, so that it always runs: it applies changes of
// the settings, and finds none on the next run. Whoever has the address is first: a
// backup that has been told a shorter interval than the holder speaks at takes it for
// dead, and the address with it.
func (p *planner) vip(h v1alpha1.Host) {
	spec, _ := vip.SpecOf(p.c, h.Name)
	s := plan.Step{ID: id(tasks.VIP, h), Host: h.Name, Task: tasks.VIP, After: []string{id(tasks.Prepare, h)}, Timeout: vipTimeout,
		Title: "keep the virtual IP " + p.c.Spec.VirtualIP, Spec: spec}
	for _, holder := range p.c.ControlPlanes() {
		if p.holds(holder) && !p.holds(h) {
			s.After = append(s.After, id(tasks.VIP, holder))
		}
	}
	p.add(s)
}

// holdersFirst are the control planes, those that have the virtual IP first.
func (p *planner) holdersFirst() []v1alpha1.Host {
	out := p.c.ControlPlanes()
	slices.SortStableFunc(out, func(a, b v1alpha1.Host) int {
		switch {
		case p.holds(a) && !p.holds(b):
			return -1
		case p.holds(b) && !p.holds(a):
			return 1
		}
		return 0
	})
	return out
}

// holds tells whether a control plane of this cluster was seen with the virtual IP.
func (p *planner) holds(h v1alpha1.Host) bool {
	f := p.o[h.Name].Facts
	return f.VirtualIPHere && f.Ours != nil
}
