package certs

import (
	"context"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// WarnBefore is how long before its end a certificate is told of that a schedule can't renew.
const WarnBefore = renewal.WarnBefore

// Scheduled is what Schedule and Unschedule have done.
type Scheduled struct {
	// Schedule is the one that there is now; nil for none.
	Schedule *schedule.State `json:"schedule,omitempty"`
	// Changed tells whether that was not so before; in a dry run whether it would be so.
	Changed bool `json:"changed"`
	// Next is when it runs next, as this machine's time zone has it: the controller-managers' may
	// be another.
	Next time.Time `json:"next,omitzero"`
}

// Schedule has the cluster renew by itself what is signed on its nodes. cron is when it looks, as a
// CronJob's schedule; empty: renewal.DefaultCron. Running it again changes only what is different;
// one that was suspended stays so.
func Schedule(ctx context.Context, o Options, cron string, sink report.Sink) (Scheduled, error) {
	var out Scheduled
	if cron == "" {
		cron = renewal.DefaultCron
	}
	when, err := renewal.Renewal().Parse(cron)
	if err != nil {
		return out, action.As(action.Invalid, err)
	}
	if o.Life < 0 || o.Life > pki.DefaultValidity {
		return out, action.Invalidf("a certificate's life is %s at most", pki.DefaultValidity)
	}
	clients, err := o.open(ctx)
	if err != nil {
		return out, err
	}
	if o.Cluster, err = o.document(ctx, clients); err != nil {
		return out, err
	}
	before, err := renewal.Renewal().Look(ctx, clients.Kube)
	if err != nil {
		return out, action.OfCluster(err)
	}
	out.Next = when.Next(time.Now())
	if o.DryRun {
		out.Schedule, out.Changed = before, before == nil || before.Cron != cron
		return out, nil
	}
	// Its rights come with these, and what it runs.
	if _, err := incluster.Install(ctx, o.Config, o.Cluster); err != nil {
		return out, action.OfCluster(err)
	}
	source, err := agents.Or(o.Source)
	if err != nil {
		return out, err
	}
	chosen, err := source.Ensure(ctx, o.Config, sink)
	if err != nil {
		return out, err
	}
	if out.Changed, err = renewal.Apply(ctx, clients, o.Cluster, renewal.Spec{Cron: cron, Life: o.Life, Agents: chosen}); err != nil {
		return out, action.OfCluster(err)
	}
	out.Schedule, err = renewal.Renewal().Look(ctx, clients.Kube)
	return out, action.OfCluster(err)
}

// Unschedule takes away what Schedule has made. One that is not there is no error.
func Unschedule(ctx context.Context, o Options, sink report.Sink) (Scheduled, error) {
	var out Scheduled
	clients, err := o.open(ctx)
	if err != nil {
		return out, err
	}
	if o.DryRun {
		out.Schedule, err = renewal.Renewal().Look(ctx, clients.Kube)
		out.Changed = out.Schedule != nil
		return out, action.OfCluster(err)
	}
	if err := operate.Quiet(ctx, clients, renewal.Renewal(), sink); err != nil {
		return out, err
	}
	out.Changed, err = renewal.Renewal().Remove(ctx, clients.Kube)
	return out, action.OfCluster(err)
}
