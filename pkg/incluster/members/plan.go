package members

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
)

// The kinds of steps: the part of a step's ID before the slash.
const (
	// StepWell, StepMay and StepGate are looks at the whole cluster from a control plane: before
	// all, whether a round may begin, and after each member. StepSettled ends a round.
	StepWell    = "well"
	StepMay     = "may"
	StepGate    = "gate"
	StepSettled = "settled"
	// StepFit looks whether a host has all that the versions need, StepBackup keeps a snapshot.
	StepFit    = "fit"
	StepBackup = "backup"
	// StepLower has etcd as a whole go one minor version back, before the first member does.
	StepLower = "lower"
	// StepMember is a member's turn to go to a version, StepApply that to get its settings.
	StepMember = "member"
	StepApply  = "apply"
	// StepRecord notes the version in the stored Cluster document. It is the only step on no host.
	StepRecord = "record"
)

// Plan is the steps of a change, in an order in which they run one by one. It is pure.
func Plan(spec *v1alpha1.EtcdSpec, c *v1alpha1.Cluster) ([]v1alpha1.StepStatus, error) {
	if spec == nil {
		return nil, errors.New("the operation has no spec.etcd")
	}
	order, err := turns(spec.Members, c)
	if err != nil {
		return nil, err
	}
	if len(c.ControlPlanes()) == 0 {
		return nil, errors.New("the Cluster document has no control plane")
	}
	p := &planner{look: c.ControlPlanes()[0].Name, order: order}
	if spec.Change == v1alpha1.EtcdApply {
		p.apply()
		return p.steps, nil
	}
	if err := consecutive(spec); err != nil {
		return nil, err
	}
	p.before(spec.Versions)
	for _, v := range spec.Versions {
		p.round(spec.Change, v)
	}
	last := spec.Versions[len(spec.Versions)-1]
	p.then(StepRecord, "", "note etcd "+last+" in the stored Cluster document")
	return p.steps, nil
}

// turns are the members in the order of their turns.
func turns(first []string, c *v1alpha1.Cluster) ([]string, error) {
	var all []string
	for _, m := range c.EtcdMembers() {
		all = append(all, m.Name)
	}
	if len(all) == 0 || c.Spec.Etcd.Topology == v1alpha1.EtcdStacked {
		return nil, errors.New("the Cluster document has no etcd members that kubectl-ha has set up; kubeadm upgrades its own")
	}
	var out []string
	for _, name := range first {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("%s has no etcd member, as far as the stored Cluster document says", name)
		}
		if slices.Contains(out, name) {
			return nil, fmt.Errorf("%s is named twice", name)
		}
		out = append(out, name)
	}
	var rest []string
	for _, name := range all {
		if !slices.Contains(out, name) {
			rest = append(rest, name)
		}
	}
	// Those that are named keep their place at the end: who leads is the last of them.
	return append(rest, out...), nil
}

// consecutive refuses versions that are not one minor version apart.
func consecutive(spec *v1alpha1.EtcdSpec) error {
	if len(spec.Versions) == 0 {
		return errors.New("the operation names no version of etcd")
	}
	if spec.Change == v1alpha1.EtcdDowngrade && len(spec.Versions) != 1 {
		return errors.New("etcd goes back to one version, of one minor version below")
	}
	var before uint
	for _, text := range spec.Versions {
		v, err := etcd.ParseVersion(text)
		if err != nil {
			return err
		}
		if before != 0 && v.Minor() != before+1 {
			return fmt.Errorf("%s: members go one minor version at a time", strings.Join(spec.Versions, ", "))
		}
		before = v.Minor()
	}
	return nil
}

// planner collects steps, each after the one before it.
type planner struct {
	// look is the control plane from which is looked at all.
	look  string
	order []string
	steps []v1alpha1.StepStatus
}

func (p *planner) then(id, host, title string) {
	s := v1alpha1.StepStatus{ID: id, Node: host, Title: title, State: v1alpha1.StepPending}
	if len(p.steps) > 0 {
		s.After = []string{p.steps[len(p.steps)-1].ID}
	}
	p.steps = append(p.steps, s)
}

// before are the steps that change nothing of what runs.
func (p *planner) before(versions []string) {
	p.then(StepWell, p.look, "see that all members and apiservers are well, and have the same data")
	for _, m := range p.order {
		p.then(StepFit+"/"+m, m, "look whether "+m+" has all of etcd "+strings.Join(versions, ", "))
	}
	for _, m := range p.order {
		p.then(StepBackup+"/"+m, m, "back up "+m+": a snapshot of etcd that is read back")
	}
}

// round brings every member to one version.
func (p *planner) round(change v1alpha1.EtcdChange, version string) {
	verb := "upgrade"
	p.then(StepMay+"/"+version, p.look, "see that etcd may go to "+version)
	if change == v1alpha1.EtcdDowngrade {
		verb = "bring back"
		p.then(StepLower+"/"+version, p.look, "have etcd store as "+etcd.MinorOf(version)+" does")
	}
	for i, m := range p.order {
		title := fmt.Sprintf("%s the member %s to %s", verb, m, version)
		if i == len(p.order)-1 && len(p.order) > 1 {
			title += ", after the leadership has moved"
		}
		p.then(StepMember+"/"+version+"/"+m, m, title)
		p.then(StepGate+"/"+version+"/"+m, p.look, "see that "+m+" and all else is well")
	}
	p.then(StepSettled+"/"+version, p.look, "see that etcd as a whole is at "+version)
}

// apply gives every member its settings.
func (p *planner) apply() {
	p.then(StepWell, p.look, "see that all members and apiservers are well, and have the same data")
	for _, m := range p.order {
		p.then(StepApply+"/"+m, m, "apply the settings of the Cluster document to "+m)
		p.then(StepGate+"/"+m, p.look, "see that "+m+" and all else is well")
	}
}
