package nodes

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// SSHError is an error of the part over SSH, or of who was asked about it.
type SSHError struct {
	// Result has what was found on the hosts.
	Result bootstrap.Result
	err    error
}

// Error is that of the part.
func (e *SSHError) Error() string { return e.err.Error() }

// Unwrap is the error with its kind; a *bootstrap.PreflightError is in it when hosts are not ready.
func (e *SSHError) Unwrap() error { return e.err }

// outside is the part over SSH: it looks at the hosts, asks, prepares and joins them. p is the
// part inside: when something is in its way no host is logged in to. ask may be nil.
func (a *adding) outside(ctx context.Context, p *operate.Plan, dryRun bool, sink report.Sink, ask func(context.Context, plan.Plan) error) error {
	if p.Refused() != nil {
		return a.confirm(ctx, p)
	}
	var only []v1alpha1.Host
	for _, name := range a.Names {
		h, _ := a.merged.Host(name)
		only = append(only, h)
	}
	// Hosts that can't be reached are among what is found on them.
	hosts, err := remote.Connect(ctx, a.merged, a.Login, sink, only...)
	if hosts == nil {
		return err
	}
	defer remote.Close(hosts, sink)
	return a.over(ctx, hosts, dryRun, sink, ask)
}

// over is the part over SSH, on hosts that are connected.
func (a *adding) over(ctx context.Context, hosts bootstrap.Hosts, dryRun bool, sink report.Sink, ask func(context.Context, plan.Plan) error) error {
	looked := action.Begin(sink, "look", "look at "+report.Plural(len(a.Names), "host", "hosts"))
	r, err := bootstrap.Add(ctx, bootstrap.AddConfig{Cluster: a.merged, Names: a.Names, Hosts: hosts, StateDir: a.StateDir, APIAt: a.APIAt,
		AgentImage: a.image, AgentDigest: a.source.Digest, DryRun: dryRun, Confirm: ask,
		Bundle: a.supply.For(ctx, a.merged, dryRun, sink, looked), Discovery: discovery(a.To.Clients.Kube)}, sink)
	looked("")
	if err == nil {
		return nil
	}
	return &SSHError{Result: r, err: action.OfRun(err)}
}
