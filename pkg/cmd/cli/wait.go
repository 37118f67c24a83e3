package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
)

// WaitFlags say for how long an Operation is watched.
type WaitFlags struct {
	Detach  bool
	Timeout time.Duration
}

// Add adds kubectl's --wait and --timeout, and --detach, which is --wait=false. when says
// what they go with, leave when one leaves.
func (w *WaitFlags) Add(f *pflag.FlagSet, when, leave string) {
	f.Var(&notValue{&w.Detach}, "wait", when+"watch the Operation until it ends; it continues if you leave")
	f.Lookup("wait").NoOptDefVal = "true"
	f.BoolVar(&w.Detach, "detach", false, when+leave+", like --wait=false")
	w.AddTimeout(f, when)
}

// AddTimeout is for what watches anyhow.
func (w *WaitFlags) AddTimeout(f *pflag.FlagSet, when string) {
	f.DurationVar(&w.Timeout, "timeout", 0, when+"maximum time to watch; the Operation continues afterwards; 0 means no limit")
}

// errTimeout is the cause of a watch's end.
var errTimeout = action.As(action.Timeout, errors.New("--timeout exceeded"))

// Limited is the context of a watch.
func (w *WaitFlags) Limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if w.Timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, w.Timeout, errTimeout)
}

// notValue is a switch that turns another off.
type notValue struct{ other *bool }

// String is whether the other is off.
func (v *notValue) String() string { return fmt.Sprint(v.other == nil || !*v.other) }

// Type is a switch's.
func (v *notValue) Type() string { return "bool" }

// IsBoolFlag lets it stand without a value.
func (v *notValue) IsBoolFlag() bool { return true }

// Set turns the other off or on.
func (v *notValue) Set(text string) error {
	is, err := strconv.ParseBool(text)
	if err == nil {
		*v.other = !is
	}
	return err
}
