// Package operate is what the commands share that begin an Operation in a cluster that runs.
package operate

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Options are the flags and streams of a command that begins an Operation, and the cluster that
// it is about.
type Options struct {
	genericiooptions.IOStreams
	Access *genericclioptions.ConfigFlags
	DryRun bool
	cli.WaitFlags
	Yes    bool
	Output cli.Output
	// Connection is nil before Connect.
	*operate.Connection
}

// AddFlags adds the flags that all of them have.
func (o *Options) AddFlags(c *cobra.Command) {
	f := c.Flags()
	cli.AddDryRun(f, &o.DryRun, "only show the plan")
	o.Add(f, "", "return once the Operation has started")
	cli.AddYes(f, &o.Yes, "")
}

// Connect reaches the cluster that the kubeconfig names.
func (o *Options) Connect(ctx context.Context) error {
	config, err := cli.RestConfig(o.Access)
	if err != nil {
		return err
	}
	o.Connection, err = operate.Connect(ctx, config)
	return err
}

// ValidateYes refuses to begin what nobody can be asked about.
func (o *Options) ValidateYes() error {
	if o.Yes || o.DryRun || o.Output.Manifests() {
		return nil
	}
	return cli.CheckPrompt(o.In, o.Output.ForPrograms(), "the plan")
}

// Ask asks, unless --yes said so.
func (o *Options) Ask(ctx context.Context, question string) error {
	if o.Yes {
		return nil
	}
	return cli.Confirm(ctx, o.In, o.ErrOut, question)
}

// Decide shows plans and asks whether to go on, unless something stands in the way of one, or it
// is a dry run. The error is nil when something stands in the way: the action has that.
func (o *Options) Decide(ctx context.Context, question string, plans ...*operate.Plan) error {
	for _, p := range plans {
		if err := o.Show(p); err != nil || p.Refused() != nil {
			return err
		}
	}
	if o.DryRun {
		return nil
	}
	return o.Ask(ctx, question)
}

// Carry begins an Operation, shown, and watches it.
func (o *Options) Carry(ctx context.Context, begin func(context.Context, report.Sink) (*operate.Begun, error)) error {
	shown := cli.NewProgress(o.Out, o.Output)
	begun, err := begin(ctx, shown)
	shown.Close()
	if err != nil {
		return err
	}
	return o.Watch(ctx, begun, o.WaitFlags)
}

// Watch shows an Operation until it ends, or leaves it.
func (o *Options) Watch(ctx context.Context, begun *operate.Begun, waits cli.WaitFlags) error {
	return cli.WatchOrLeave(ctx, o.IOStreams, begun.Operations, begun.Name, o.Output, waits)
}

// PrintManifests prints an Operation and its coordinator's Job, and what to know about them.
func (o *Options) PrintManifests(objects []*unstructured.Unstructured, comment string) error {
	if _, err := fmt.Fprintf(o.Out, "# %s\n", comment); err != nil {
		return err
	}
	return cli.PrintManifests(o.Out, objects)
}
