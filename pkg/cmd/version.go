package cmd

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// version is what `version -o json` prints.
type version struct {
	program.Build
	// Kubernetes is the window of versions that it can make and operate.
	Kubernetes string `json:"kubernetes"`
}

type versionOptions struct {
	genericiooptions.IOStreams
	output string
}

func newVersion(streams genericiooptions.IOStreams) *cobra.Command {
	o := &versionOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "version [-o json]",
		Short: "Print the version of this program",
		Example: cli.Examples(`
			kubectl ha version
			kubectl ha version -o json`),
		Args: cli.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run()
		},
	}
	c.Flags().StringVarP(&o.output, "output", "o", "", "text (default) or json")
	return c
}

// Validate checks the output format.
func (o *versionOptions) Validate() error { return cli.CheckOutput(o.output) }

// Run prints the version.
func (o *versionOptions) Run() error {
	b := version{program.Read(), v1alpha1.SupportedVersions}
	if o.output == cli.OutputJSON {
		return cli.WriteJSON(o.Out, b)
	}
	_, err := fmt.Fprintf(o.Out, "kubectl-ha %s (%s, %s)\nKubernetes %s\n", b.Version, b.GoVersion, b.Platform, b.Kubernetes)
	return err
}
