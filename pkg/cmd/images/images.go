package images

import (
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// imagesOptions are what all verbs about images share.
type imagesOptions struct {
	genericiooptions.IOStreams
	access   *genericclioptions.ConfigFlags
	selector string
	output   cli.Output

	config *rest.Config
}

func NewImages(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "images",
		Short:   "Push images to the nodes, list them and prune them",
		GroupID: cli.GroupBundle,
		Long: cli.Paragraphs(
			"Pushes images to the image stores of the nodes, without a registry. Images leave this machine once, no matter how many nodes there are: the nodes pass them on to each other."),
		Example: cli.Examples(`
			kubectl ha images push bundle.tar
			kubectl ha images list
			kubectl ha images prune --keep ` + v1alpha1.DefaultKubernetesVersion),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, access)
	shared := func() imagesOptions { return imagesOptions{IOStreams: streams, access: access} }
	c.AddCommand(newImagesPush(shared()), newImagesList(shared()), newImagesPrune(shared()))
	return c
}

func (o *imagesOptions) addSelector(c *cobra.Command, what string) {
	cli.AddSelector(c, o.ErrOut, &o.selector, what)
}

// connect finds the cluster.
func (o *imagesOptions) connect() (err error) {
	if _, err := labels.Parse(o.selector); err != nil {
		return action.Invalidf("--selector %s: %w", o.selector, err)
	}
	o.config, err = cli.RestConfig(o.access)
	return err
}
