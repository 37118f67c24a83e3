package addon

import (
	"context"
	"slices"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// UninstallOptions say which addons go.
type UninstallOptions struct {
	Config *rest.Config
	Names  []string
	// DeleteObjects also deletes objects of the addons' resources that they did not make.
	DeleteObjects bool
}

// Uninstall is what is about to go, before and after a person was asked.
type Uninstall struct {
	// Going are the addons that go: those that were named, and those that only they have
	// brought in. There may be none.
	Going []string
	// Absent are those of the names that are not installed.
	Absent []string
	// Steps are those that the cluster will take.
	Steps []v1alpha1.StepStatus

	site *site
	spec v1alpha1.OperationSpec
}

// PlanUninstall says what will go; it changes nothing. Objects of others that would go with it
// are an action.Findings, unless that is asked for. Of an error, Absent is there all the same
// once the cluster was reached.
func PlanUninstall(ctx context.Context, o UninstallOptions) (Uninstall, error) {
	s, err := connect(ctx, o.Config)
	if err != nil {
		return Uninstall{}, err
	}
	u := Uninstall{site: s}
	var there []string
	for _, name := range o.Names {
		if _, found := s.find(name); found {
			there = append(there, name)
		} else {
			u.Absent = append(u.Absent, name)
		}
	}
	if len(there) == 0 {
		return u, nil
	}
	u.spec = v1alpha1.OperationSpec{Type: v1alpha1.OperationAddon, Addon: &v1alpha1.AddonSpec{Action: v1alpha1.AddonUninstall, DeleteObjects: o.DeleteObjects}}
	for _, inv := range install.Dependents(s.installed, there...) {
		u.Going = append(u.Going, inv.Name)
		u.spec.Addon.Addons = append(u.spec.Addon.Addons, v1alpha1.AddonItem{Name: inv.Name, Version: inv.Version})
		_, users, err := install.Instances(ctx, s.clients, inv.Objects)
		if err != nil {
			return u, action.OfCluster(err)
		}
		if len(users) > 0 && !o.DeleteObjects {
			return u, action.As(action.Findings, install.UsersError(inv.Name, users))
		}
	}
	u.Going = slices.Compact(u.Going)
	seen, err := s.seen(ctx)
	if err != nil {
		return u, err
	}
	u.Steps, err = s.steps(u.spec, seen)
	return u, err
}

// Begin creates the Operation that removes what goes.
func (u Uninstall) Begin(ctx context.Context, sink report.Sink) (*incluster.Operations, string, error) {
	return u.site.begin(ctx, u.spec, nil, sink)
}
