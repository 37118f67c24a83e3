package kubeconfig

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/access"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// newCredential is what kubectl executes for a kubeconfig that was made with --exec.
func newCredential(streams genericiooptions.IOStreams) *cobra.Command {
	var path string
	var duration time.Duration
	c := &cobra.Command{
		Use:   "credential --file FILE",
		Short: "Print the credentials that a kubeconfig with --exec asks for",
		Example: cli.Examples(`
			# What kubectl itself calls; for a look at what it gets
			kubectl ha kubeconfig credential --file demo.kubeconfig`),
		Hidden: true,
		Args:   cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			out, err := access.Credential(c.Context(), path, duration, time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(streams.Out, string(out))
			return err
		},
	}
	c.Flags().StringVar(&path, "file", "", "the kubeconfig `file` with the credentials")
	c.Flags().DurationVar(&duration, "duration", 0, "how long renewed credentials live (default as for new ones)")
	// MarkFlagRequired fails only for a flag that is not there.
	_ = c.MarkFlagRequired("file")
	return c
}
