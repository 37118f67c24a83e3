package certs

import (
	"context"
	"crypto/rand"
	"errors"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// claimed does the rescue with the claim on the cluster, where its API can be told. That it is away is what a
// rescue is for, and an Operation may wait for the very host that is helped: neither is in its way. Another
// command is, which ends or is lost.
func (r *rescuer) claimed(ctx context.Context, do func()) error {
	if r.StateDir == "" {
		do()
		return nil // Nobody could tell this machine's claim from others'.
	}
	unlock, err := bootstrap.Lock(r.StateDir)
	switch {
	case err == nil:
		defer unlock()
	case errors.Is(err, bootstrap.ErrLocked):
		return action.OfRun(err)
	default:
		// A disk that is full here is no reason to leave the cluster down. Without the lock, another run on
		// this machine must not take its claim for ours.
		action.Warn(r.sink, "", "a claim of an earlier run that was killed is not recognized: %v", err)
		r.id = rand.Text()
	}
	if err := r.claim(ctx); err != nil {
		return err
	}
	defer func() { r.held.Release() }()
	do()
	return nil
}

func (r *rescuer) claim(ctx context.Context) error {
	held, err := action.Hold{Config: r.api(ctx), StateDir: r.StateDir, ID: r.id, Command: "kubectl ha certs rescue", Mends: true, Passes: func(b *operations.BusyError) bool {
		if b.Command == "" {
			action.Warn(r.sink, "", "%v; the rescue does not wait for that", b)
		}
		return b.Command == ""
	}}.Take(ctx, r.sink)
	if err == nil {
		r.held = held
	}
	return err
}

// claimAgain comes when an apiserver answers that did not: from then on others could begin. Nothing that is
// in its way ends a rescue in the middle.
func (r *rescuer) claimAgain(ctx context.Context) {
	if r.held == nil || r.held.Holds() {
		return
	}
	if err := r.claim(ctx); err != nil && ctx.Err() == nil {
		action.Warn(r.sink, "", "operations are not kept from beginning meanwhile: %v", err)
	}
}

// apiOf is the way to the API through the hosts; nil where there is none.
func (r *rescuer) apiOf(ctx context.Context) *rest.Config {
	hosts, ok := r.Hosts.(bootstrap.Hosts)
	if !ok {
		return nil
	}
	a, err := bootstrap.ReachAPI(ctx, hosts, r.Cluster, report.Discard())
	if err != nil {
		return nil // That is what a rescue is for.
	}
	config, err := a.RESTConfig()
	if err != nil {
		return nil
	}
	return config
}
