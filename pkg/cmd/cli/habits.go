package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
)

// The flags that kubectl has as well are added here, so that each is the same on every
// command: name, shorthand, type and meaning.

// AddYes adds --yes to a command that changes something. what is empty, or says which of it.
func AddYes(f *pflag.FlagSet, yes *bool, what string) {
	f.BoolVarP(yes, "yes", "y", false, what+"do not ask")
}

// AddSelector adds -l. nodes are those that it chooses; earlier releases called it --nodes.
func AddSelector(c *cobra.Command, errOut io.Writer, selector *string, nodes string) {
	f := c.Flags()
	f.StringVarP(selector, "selector", "l", "", nodes+" the nodes with these labels, by a `selector` such as role=edge,zone!=a")
	AddFormer(f, errOut, "nodes", "selector")
}

// AddFormer keeps the former name of a flag for one release, with a warning.
func AddFormer(f *pflag.FlagSet, errOut io.Writer, former, name string) {
	now := f.Lookup(name)
	f.Var(&formerValue{Value: now.Value, tell: func() error {
		_, err := fmt.Fprintf(errOut, "warning: --%s is called --%s; the next release does not know the former name\n", former, name)
		return err
	}}, former, now.Usage)
	f.Lookup(former).Hidden = true
}

// formerValue is a flag's value under its former name.
type formerValue struct {
	pflag.Value
	tell func() error
}

// Set sets the value, and tells the flag's name.
func (v *formerValue) Set(text string) error {
	if err := v.tell(); err != nil {
		return err
	}
	return v.Value.Set(text)
}

// AddDryRun adds kubectl's --dry-run. Its two kinds are one here: hosts and cluster are
// looked at, and nothing is changed. Alone it is client, which kubectl had once.
func AddDryRun(f *pflag.FlagSet, dryRun *bool, what string) {
	f.Var(&dryRunValue{dryRun}, "dry-run", what+"; the `strategy` is none, client or server, the last two alike")
	f.Lookup("dry-run").NoOptDefVal = "client"
}

type dryRunValue struct{ is *bool }

// String is the strategy.
func (v *dryRunValue) String() string {
	if v.is != nil && *v.is {
		return "client"
	}
	return "none"
}

// Type is kubectl's.
func (v *dryRunValue) Type() string { return "string" }

// Set takes kubectl's words, and those of a switch.
func (v *dryRunValue) Set(text string) error {
	switch text {
	case "none", "false":
		*v.is = false
	case "client", "server", "true":
		*v.is = true
	default:
		return errors.New("use none, client or server")
	}
	return nil
}

// WaitFlags say for how long an Operation is watched.
type WaitFlags struct {
	Detach  bool
	Timeout time.Duration
}

// Add adds kubectl's --wait and --timeout, and --detach, which is --wait=false. when says
// what they go with, leave when one leaves.
func (w *WaitFlags) Add(f *pflag.FlagSet, when, leave string) {
	f.Var(&notValue{&w.Detach}, "wait", when+"watch it until it ends; leaving does not end it")
	f.Lookup("wait").NoOptDefVal = "true"
	f.BoolVar(&w.Detach, "detach", false, when+leave+", as --wait=false does")
	w.AddTimeout(f, when)
}

// AddTimeout is for what watches anyhow.
func (w *WaitFlags) AddTimeout(f *pflag.FlagSet, when string) {
	f.DurationVar(&w.Timeout, "timeout", 0, when+"how long to watch it at most, and then leave it; 0 is until it ends")
}

// errTimeout is the cause of a watch's end.
var errTimeout = action.As(action.Timeout, errors.New("the --timeout has passed"))

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
