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

// Mending is what is about to be mended, before and after a person was asked: first an
// Operation for the fixes, once that has ended the addons.
type Mending struct {
	d *Diagnosis
	// Names are what is mended, for people. There may be none.
	Names []string
}

// PlanMending says what can be mended of a diagnosis; it changes nothing. A cluster that does
// not know this program is an action.Invalid.
func PlanMending(d *Diagnosis) (Mending, error) {
	m := Mending{d: d}
	for _, f := range d.Fixes {
		m.Names = append(m.Names, string(f))
	}
	for _, a := range d.Addons {
		m.Names = append(m.Names, "the certificates of "+a)
	}
	if len(m.Names) > 0 && !d.ours {
		return Mending{}, action.Invalidf("this cluster has no stored Cluster document: run `%s adopt` first", program.Name)
	}
	return m, nil
}

// HasFixes tells whether there is an Operation to begin.
func (m Mending) HasFixes() bool { return len(m.d.Fixes) > 0 }

// HasAddons tells whether addons are installed again.
func (m Mending) HasAddons() bool { return len(m.d.Addons) > 0 }

// Begin creates the Operation that carries the fixes out.
func (m Mending) Begin(ctx context.Context, sink report.Sink) (*incluster.Operations, string, error) {
	ops, err := agents.Ready(ctx, m.d.config, m.d.cluster, sink)
	if err != nil {
		return nil, "", err
	}
	op, err := ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationMend, Mend: &v1alpha1.MendSpec{Fixes: m.d.Fixes}})
	if err != nil {
		return nil, "", action.OfCluster(err)
	}
	return ops, op.Name, nil
}

// PlanRenewal plans to install the addons again, at this program's version, which makes those
// certificates anew that are near their end. stateDir is as in addon.InstallOptions.
func (m Mending) PlanRenewal(ctx context.Context, stateDir func(*v1alpha1.Cluster) (string, error)) (*addon.Install, error) {
	return addon.PlanInstall(ctx, addon.InstallOptions{Config: m.d.config, Names: m.d.Addons, StateDir: stateDir})
}
