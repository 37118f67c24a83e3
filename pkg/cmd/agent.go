package cmd

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// newAgent is the other seat of the binary: on a host. People don't call it.
func newAgent(streams genericiooptions.IOStreams) *cobra.Command {
	c := &cobra.Command{
		Use:    "agent",
		Short:  "Run a task on this host, for kubectl-ha itself",
		Hidden: true,
		Args:   cobra.ArbitraryArgs,
		RunE:   runGroup,
	}
	return c
}
