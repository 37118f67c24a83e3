package action

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Hold says which command is about to change hosts of a cluster itself, over SSH, so that no Operation
// begins meanwhile (ADR 47), and what becomes of it where the cluster can't be told.
type Hold struct {
	// Config is the way to the API. Without one the cluster is not told.
	Config *rest.Config
	// Command is its line, as people know it.
	Command string
	// StateDir is the cluster's directory on this machine, whose lock the caller has: it tells the claim of
	// an earlier run that was killed from those of others. ID does where there is none.
	StateDir, ID string
	// Required: without the claim nothing is begun. Else it is warned of when an API that is away keeps it
	// from being made, since what is about to be done may be what brings that back.
	Required bool
	// Mends: what is done may be what brings the API back. One that goes away in the middle neither ends it
	// nor has it wait, and a state directory that can't be written does not stop it.
	Mends bool
	// Passes, when set, tells which of what is in progress is not in its way. Nothing is held then.
	Passes func(*operations.BusyError) bool
}

// claims is who makes a claim; incluster.Operations is one.
type claims interface {
	Hold(ctx context.Context, command, id string) (*operations.Hold, error)
}

// Held is a claim on a cluster, or that there is none.
type Held struct {
	hold    *operations.Hold // nil: none.
	ctx     context.Context
	mends   bool
	sink    report.Sink
	release sync.Once
}

// While does something on hosts with the claim on the cluster. The context is the work's, and may is to be
// asked before each host: an error of it ends the work. The error is an operations.BusyError while
// somebody else is at work.
func (h Hold) While(ctx context.Context, sink report.Sink, do func(ctx context.Context, may func() error) error) error {
	held, err := h.Take(ctx, sink)
	if err != nil {
		return err
	}
	defer held.Release()
	return held.Because(do(held.Context(), held.May))
}

// Take makes the claim, for work that While can't enclose.
func (h Hold) Take(ctx context.Context, sink report.Sink) (*Held, error) {
	if h.Config == nil {
		return &Held{ctx: ctx}, nil
	}
	ops, err := incluster.NewOperations(h.Config, nil)
	if err != nil {
		return nil, err
	}
	return h.take(ctx, ops, sink)
}

func (h Hold) take(ctx context.Context, c claims, sink report.Sink) (held *Held, err error) {
	id := h.ID
	if id == "" {
		if id, err = bootstrap.HolderID(h.StateDir); err != nil && !h.Mends {
			return nil, err
		}
		if err != nil {
			Warn(sink, "", "a claim of an earlier run that was killed is not recognized: %v", err)
			id = rand.Text()
		}
	}
	held = &Held{ctx: ctx, mends: h.Mends, sink: sink}
	held.hold, err = c.Hold(ctx, h.Command, id)
	var busy *operations.BusyError
	switch {
	case err == nil:
		return held, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, &busy) && h.Passes != nil && h.Passes(busy):
	case errors.As(err, &busy) || h.Required:
		return nil, OfCluster(err)
	case apierrors.IsNotFound(err): // Without the namespace there never was an Operation.
	default:
		Warn(sink, "", "operations are not kept from beginning meanwhile: %v", err)
	}
	return &Held{ctx: ctx}, nil
}

// Context is the work's. It ends with the caller's, and when the claim is another's.
func (h *Held) Context() context.Context {
	if h.hold == nil || h.mends {
		return h.ctx
	}
	return h.hold.Context()
}

// Holds tells whether there is a claim.
func (h *Held) Holds() bool { return h.hold != nil }

// May comes before each host: it waits until the cluster knows that the command is at work.
func (h *Held) May() error {
	if h.hold == nil || h.mends {
		return context.Cause(h.ctx)
	}
	return h.hold.Await()
}

// Because is the error of work that has ended by it, with why.
func (h *Held) Because(err error) error {
	if h.hold == nil || h.mends {
		return err
	}
	return h.hold.Because(err)
}

// Release lets others begin. It does so once.
func (h *Held) Release() {
	if h.hold == nil {
		return
	}
	h.release.Do(func() {
		if h.mends && h.ctx.Err() == nil && h.hold.Context().Err() != nil {
			Warn(h.sink, "", "operations of the cluster may have begun meanwhile, since its API could not be told that this command was at work")
		}
		if err := h.hold.Release(); err != nil {
			Warn(h.sink, "", "%v", err)
		}
	})
}
