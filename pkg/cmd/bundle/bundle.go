// Package bundle has the commands that make, look into and verify bundles.
package bundle

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// New makes `kubectl ha bundle`.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	c := &cobra.Command{
		Use:     "bundle",
		Short:   "Create, inspect and verify bundles: all images and binaries of one version",
		GroupID: cli.GroupBundle,
		Long: cli.Paragraphs(
			"A bundle is one file with the images and host binaries of one Kubernetes version. It is an OCI layout: every part is addressed by its digest. It is sent to the hosts once, and they pass it on to each other. No host needs internet access or a registry."),
		Example: cli.Examples(`
			kubectl ha bundle create --kubernetes-version ` + v1alpha1.DefaultKubernetesVersion + ` --out bundle.tar
			kubectl ha bundle inspect bundle.tar
			kubectl ha bundle verify bundle.tar
			kubectl ha bundle diff old.tar bundle.tar`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	c.AddCommand(newCreate(streams), newInspect(streams), newVerify(streams), newDiff(streams))
	return c
}
