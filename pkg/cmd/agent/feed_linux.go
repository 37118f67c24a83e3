package agent

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/images"
)

// newFeed is what `images push` executes in a node's pod.
func newFeed(streams genericiooptions.IOStreams) *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use:   "feed --socket PATH",
		Short: "Connect standard input and output to the task that puts images into this node",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return images.Feed(c.Context(), socket, streams.In, streams.Out)
		},
	}
	c.Flags().StringVar(&socket, "socket", "", "the task's `socket`")
	// MarkFlagRequired fails only for a flag that is not there.
	_ = c.MarkFlagRequired("socket")
	return c
}
