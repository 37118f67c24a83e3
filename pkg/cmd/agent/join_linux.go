package agent

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/selfjoin"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// newJoin is what the script of `node add --print` runs.
func newJoin(streams genericiooptions.IOStreams) *cobra.Command {
	o := selfjoin.Options{Tasks: tasks()}
	c := &cobra.Command{
		Use:   "join --bundle FILE",
		Short: "Prepare and join this host, as requested on standard input",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return action.Invalidf("run it as root")
			}
			if err := json.NewDecoder(streams.In).Decode(&o.Request); err != nil {
				return action.Invalidf("cannot read the request on standard input: %w", err)
			}
			shown := cli.NewProgress(streams.Out, cli.Output{})
			defer shown.Close()
			r, err := selfjoin.Run(c.Context(), o, shown)
			shown.Close()
			if err != nil {
				return cli.Explain(c.Context(), streams.Out, cli.Output{}, r, err)
			}
			host := o.Request.Host
			_, err = fmt.Fprintf(streams.Out, "%s is joined. Delete the script, then run %s node add %s --joined where the Cluster file is.\n", host, program.Name, host)
			return err
		},
	}
	c.Flags().StringVar(&o.Bundle, "bundle", "", "the bundle `file`")
	cli.AddTrustFlags(c.Flags(), &o.Trust, "bundle-")
	return c
}
