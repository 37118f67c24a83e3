package cmd

import (
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// imagesOptions are what all verbs about images share.
type imagesOptions struct {
	genericiooptions.IOStreams
	access   *genericclioptions.ConfigFlags
	selector string
	output   string

	config *rest.Config
}

func newImages(streams genericiooptions.IOStreams) *cobra.Command {
	access := newAccess()
	c := &cobra.Command{
		Use:     "images",
		Short:   "Push images into the nodes' image stores, list and prune what is there",
		GroupID: groupBundle,
		Long: paragraphs(
			"Puts images into the nodes' image stores without any registry. They leave this machine once, whatever the number of nodes: the nodes pass them to each other."),
		Example: examples(`
			kubectl ha images push bundle.tar
			kubectl ha images list
			kubectl ha images prune --keep ` + v1alpha1.DefaultKubernetesVersion),
		Args: cobra.ArbitraryArgs,
		RunE: runGroup,
	}
	addAccess(c, access)
	shared := func() imagesOptions { return imagesOptions{IOStreams: streams, access: access} }
	c.AddCommand(newImagesPush(shared()), newImagesList(shared()), newImagesPrune(shared()))
	return c
}

func (o *imagesOptions) addSelector(c *cobra.Command, what string) {
	addSelector(c, o.ErrOut, &o.selector, what)
}

// connect finds the cluster.
func (o *imagesOptions) connect() (err error) {
	if _, err := labels.Parse(o.selector); err != nil {
		return action.Invalidf("--selector %s: %w", o.selector, err)
	}
	o.config, err = restConfig(o.access)
	return err
}
