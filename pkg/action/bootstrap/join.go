package bootstrap

import (
	"context"
	"sync/atomic"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// join hands over to the cluster: it stores the document with what Operations need, and has the
// Join promote the other control planes.
func join(ctx context.Context, source *agents.Source, c *v1alpha1.Cluster, a bootstrap.Access, sink report.Sink) (plan.Outcome, error) {
	config, err := a.RESTConfig()
	if err != nil {
		return plan.Outcome{}, err
	}
	installed, err := incluster.Install(ctx, config, c)
	if err != nil {
		return plan.Outcome{}, err
	}
	own, err := source.Own(ctx, config)
	if err != nil {
		return plan.Outcome{}, err
	}
	// Events may come from several goroutines.
	var changed atomic.Bool
	changed.Store(len(installed) > 0)
	err = incluster.Join(ctx, config, c, own, report.SinkFunc(func(e report.Event) {
		if e.Changed {
			changed.Store(true)
		}
		sink.Emit(e)
	}))
	return plan.Outcome{Changed: changed.Load()}, err
}
