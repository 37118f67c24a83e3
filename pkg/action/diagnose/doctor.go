package diagnose

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/doctor"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

// ExamineOptions say which cluster is examined, and how far.
type ExamineOptions struct {
	Config *rest.Config
	// Quick runs nothing on the nodes, so that what is in the hosts' files is not looked at.
	Quick bool
}

// Diagnosis is what was found, as it is printed for programs.
type Diagnosis struct {
	Cluster string               `json:"cluster"`
	Checks  []doctor.Result      `json:"checks"`
	Fixes   []v1alpha1.RepairFix `json:"fixes"`
	// Addons are installed again to mend what was found.
	Addons []string `json:"addons,omitempty"`
	// Unseen says what could not be looked at.
	Unseen []string `json:"unseen,omitempty"`

	config  *rest.Config
	cluster *v1alpha1.Cluster
	// ours says that the stored Cluster document is there: Operations can be run.
	ours bool
}

// Sick tells whether a problem was found; a warning is none.
func (d *Diagnosis) Sick() bool {
	return slices.ContainsFunc(d.Checks, func(r doctor.Result) bool { return r.State == doctor.Problem })
}

// Examine looks at everything, and runs all checks. It changes nothing. A cluster whose API
// does not answer is an action.Unreachable.
func Examine(ctx context.Context, o ExamineOptions) (*Diagnosis, error) {
	clients, err := client.New(o.Config)
	if err != nil {
		return nil, err
	}
	l := NewLooker(LookOptions{Config: o.Config})
	r, err := l.Look(ctx)
	if err != nil {
		return nil, err
	}
	if r.API.Error != "" {
		return nil, action.As(action.Unreachable, fmt.Errorf("%s: %s; kubectl ha status -f FILE queries each host", r.API.Asked, r.API.Error))
	}
	in := doctor.Input{Cluster: l.looker.Cluster(), Ours: isOurs(ctx, clients)}
	if !o.Quick && in.Ours {
		if in.Inspection, err = l.inspect(ctx, &r, 0); err != nil {
			return nil, err
		}
	}
	in.Report = r
	return examine(ctx, o.Config, clients, in)
}

// isOurs tells whether the stored Cluster document is there.
func isOurs(ctx context.Context, clients *client.Clients) bool {
	_, err := incluster.StoredCluster(ctx, clients.Kube)
	return err == nil
}

// examine reads what is left to be read, and runs all checks.
func examine(ctx context.Context, config *rest.Config, clients *client.Clients, in doctor.Input) (*Diagnosis, error) {
	var err error
	if in.Objects, err = doctor.Observe(ctx, clients, in.Cluster); err != nil {
		return nil, err
	}
	results := doctor.Examine(in)
	d := &Diagnosis{Cluster: in.Report.Cluster, Checks: results, Fixes: doctor.Fixes(results), Addons: doctor.Addons(results),
		Unseen: append(in.Report.Unseen, in.Objects.Missed()...), config: config, cluster: in.Cluster, ours: in.Ours}
	if d.Fixes == nil {
		d.Fixes = []v1alpha1.RepairFix{} // [] for programs, not null.
	}
	return d, nil
}
