// Package agent is the other seat of the program: what it runs on hosts and in pods.
package agent

import (
	"context"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
)

// New is the other seat of the binary: on a host. People don't call it.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	c := &cobra.Command{
		Use:    "agent",
		Short:  "Run a task on this host, for kubectl-ha itself",
		Hidden: true,
		Args:   cobra.ArbitraryArgs,
		RunE:   cli.RunGroup,
	}
	c.AddCommand(newRun(streams))
	c.AddCommand(more(streams)...)
	return c
}

// runOptions say where the request comes from.
type runOptions struct {
	genericiooptions.IOStreams
	request        string
	terminationLog string
	enterHost      bool
}

func newRun(streams genericiooptions.IOStreams) *cobra.Command {
	o := &runOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "run",
		Short: "Run one request, and print the result as the last line",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&o.request, "request", "", "the `file` with the request (default standard input)")
	f.StringVar(&o.terminationLog, "termination-log", "", "the `file` that gets the result, cut to what a pod's status holds")
	f.BoolVar(&o.enterHost, "enter-host", false, "leave the pod for the host's namespaces first")
	return c
}

// Validate refuses what only makes sense with a file.
func (o *runOptions) Validate() error {
	if o.request == "" && (o.enterHost || o.terminationLog != "") {
		return action.Invalidf("--enter-host and --termination-log require --request")
	}
	return nil
}

// Run runs the request. How its task ended is in the result, not in the error.
func (o *runOptions) Run(ctx context.Context) error {
	if o.request == "" {
		return node.RunAgent(ctx, tasks(), o.In, o.Out)
	}
	return node.RunJobAgent(ctx, node.JobOptions{Tasks: tasks(), RequestPath: o.request,
		TerminationLog: o.terminationLog, EnterHost: o.enterHost, Stdout: o.Out})
}
