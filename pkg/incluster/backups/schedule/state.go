package schedule

import (
	"context"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
)

// State is a schedule, how its last runs ended, and what it has made.
type State struct {
	schedule.State
	Settings
	// Last is the last backup that is whole; nil for none that is recorded.
	Last *v1alpha1.MadeBackup `json:"lastBackup,omitempty"`
	// Next is when it runs next, as this machine's time zone has it: the controller-managers' may be
	// another. Zero: never, or it is suspended.
	Next time.Time `json:"nextRun,omitzero"`
}

// Look reads a cluster's schedule; nil where there is none.
func Look(ctx context.Context, clients *client.Clients, now time.Time) (*State, error) {
	j, err := Backup().Get(ctx, clients.Kube)
	if err != nil || j == nil {
		return nil, err
	}
	base, err := Backup().LookAt(ctx, clients.Kube, j)
	if err != nil {
		return nil, err
	}
	s := &State{State: *base}
	if s.Settings, err = settingsOf(j); err != nil {
		return nil, err
	}
	if when, err := Backup().Parse(s.Cron); err == nil && !s.Suspended { // One that can't be read has no next.
		s.Next = when.Next(now)
	}
	all, err := operations.New(clients.Dynamic).List(ctx)
	if err != nil {
		return nil, err
	}
	s.Last = last(all)
	return s, nil
}

// Problem is what is wrong with it, in a line, with what to do; empty for nothing.
func (s State) Problem(now time.Time) (what, next string) { return Backup().Problem(s.State, now) }

// last is the last backup of a schedule that is whole; nil for none. All Operations are given with
// the oldest first. It is pure.
func last(all []v1alpha1.Operation) *v1alpha1.MadeBackup {
	for _, op := range slices.Backward(all) {
		if !Backup().Mine(op) {
			continue
		}
		if m, err := op.MadeBackup(); err == nil && m != nil { // Another version's tells nothing.
			return m
		}
	}
	return nil
}
