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
	output cli.Output
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
		RunE: func(*cobra.Command, []string) error { return o.Run() },
	}
	cli.AddOutput(c, &o.output, cli.Formats{})
	return c
}

// Run prints the version.
func (o *versionOptions) Run() error {
	b := version{program.Read(), v1alpha1.SupportedVersions}
	if o.output.ForPrograms() {
		return o.output.Print(o.Out, b)
	}
	_, err := fmt.Fprintf(o.Out, "kubectl-ha %s (%s, %s)\nKubernetes %s\n", b.Version, b.GoVersion, b.Platform, b.Kubernetes)
	return err
}
