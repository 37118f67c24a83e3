package diagnose

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// RepairOptions say how far a repair goes, and who is asked and shown. The functions must be set.
type RepairOptions struct {
	// DryRun only shows what would be done.
	DryRun bool
	// StateDir is as in addon.InstallOptions.
	StateDir func(*v1alpha1.Cluster) (string, error)
	// Confirm is asked before anything is changed; an error ends it. In a dry run nobody is asked.
	Confirm func(ctx context.Context) error
	// Steps is shown what the installation of addons will do.
	Steps func(steps []v1alpha1.StepStatus) error
	// Watch shows an Operation that has begun. last says that nothing comes after it: only then may
	// it be left before its end.
	Watch func(ctx context.Context, ops *incluster.Operations, name string, last bool) error
}

// Repair is what can be repaired of a diagnosis: by an Operation, and by installing addons again,
// which renews their certificates.
type Repair struct {
	// Names are what is repaired, for people. There may be none.
	Names []string

	fixes, addons bool
	// fix begins the Operation; renew plans the addons' installation.
	fix   func(context.Context, report.Sink) (*incluster.Operations, string, error)
	renew func(ctx context.Context, stateDir func(*v1alpha1.Cluster) (string, error)) (renewal, error)
}

// renewal is an addon.Install.
type renewal interface {
	Planned() []v1alpha1.StepStatus
	Begin(context.Context, report.Sink) (*incluster.Operations, string, error)
}

// PlanRepair says what can be repaired of a diagnosis; it changes nothing. A cluster that does not
// know this program is an action.Invalid.
func PlanRepair(d *Diagnosis) (Repair, error) {
	r := Repair{fixes: len(d.Fixes) > 0, addons: len(d.Addons) > 0}
	for _, f := range d.Fixes {
		r.Names = append(r.Names, string(f))
	}
	for _, a := range d.Addons {
		r.Names = append(r.Names, "the certificates of "+a)
	}
	if len(r.Names) > 0 && !d.ours {
		return Repair{}, action.Invalidf("this cluster has no stored Cluster document: run `%s adopt` first", program.Name)
	}
	r.fix = d.beginFixes
	r.renew = func(ctx context.Context, stateDir func(*v1alpha1.Cluster) (string, error)) (renewal, error) {
		return addon.PlanInstall(ctx, addon.InstallOptions{Config: d.config, Names: d.Addons, StateDir: stateDir})
	}
	return r, nil
}

// Run repairs: first what an Operation does, and once that has ended the addons, at this program's
// version.
func (r Repair) Run(ctx context.Context, o RepairOptions, sink report.Sink) error {
	if len(r.Names) == 0 {
		return nil
	}
	if !o.DryRun {
		if err := o.Confirm(ctx); err != nil {
			return err
		}
	}
	if r.fixes && !o.DryRun {
		if err := begin(ctx, r.fix, o.Watch, !r.addons, sink); err != nil {
			return err
		}
	}
	if !r.addons {
		return nil
	}
	p, err := r.renew(ctx, o.StateDir)
	if err != nil {
		return err
	}
	if err := o.Steps(p.Planned()); err != nil || o.DryRun {
		return err
	}
	return begin(ctx, p.Begin, o.Watch, true, sink)
}

// begin has an Operation begun, and shown.
func begin(ctx context.Context, create func(context.Context, report.Sink) (*incluster.Operations, string, error),
	watch func(context.Context, *incluster.Operations, string, bool) error, last bool, sink report.Sink) error {
	ops, name, err := create(ctx, sink)
	if err != nil {
		return err
	}
	return watch(ctx, ops, name, last)
}

// beginFixes creates the Operation that carries the fixes out.
func (d *Diagnosis) beginFixes(ctx context.Context, sink report.Sink) (*incluster.Operations, string, error) {
	ops, err := agents.Ready(ctx, d.config, d.cluster, sink)
	if err != nil {
		return nil, "", err
	}
	op, err := ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationRepair, Repair: &v1alpha1.RepairSpec{Fixes: d.Fixes}})
	if err != nil {
		return nil, "", action.OfCluster(err)
	}
	return ops, op.Name, nil
}
