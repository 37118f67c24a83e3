package cmd

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
)

// imagesOptions are what all verbs about images share.
type imagesOptions struct {
	genericiooptions.IOStreams
	access   *genericclioptions.ConfigFlags
	selector string
	output   string

	config *rest.Config
	kube   kubernetes.Interface
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

// connect reaches the cluster.
func (o *imagesOptions) connect() (err error) {
	if _, err := labels.Parse(o.selector); err != nil {
		return usageErrorf("--selector %s: %w", o.selector, err)
	}
	if o.config, err = restConfig(o.access); err != nil {
		return err
	}
	o.kube, err = kubernetes.NewForConfig(o.config)
	return err
}

// nodes are the chosen ones, in the order of their names.
func (o *imagesOptions) nodes(ctx context.Context) ([]corev1.Node, error) {
	list, err := o.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: o.selector})
	if err != nil {
		return nil, clusterError(err)
	}
	if len(list.Items) == 0 {
		return nil, usageErrorf("--selector %s: no node has these labels", o.selector)
	}
	return list.Items, nil
}

// kubernetesImages are those of a version, as this cluster names them.
func (o *imagesOptions) kubernetesImages(ctx context.Context, flag, version string) ([]bundle.Image, error) {
	if !strings.HasPrefix(version, "v") {
		version = "v" + version
	}
	if _, err := v1alpha1.MinorOf(version); err != nil {
		return nil, usageErrorf("--%s: %w", flag, err)
	}
	cluster, err := incluster.StoredCluster(ctx, o.kube)
	if err != nil {
		return nil, clusterError(err)
	}
	list, err := bundle.KubernetesImages(version, cluster.Spec.Images.Registry, cluster.Spec.Network.Plugin)
	if err != nil {
		return nil, usageErrorf("--%s: %w", flag, err)
	}
	return list, nil
}

// operations are the verbs of Operations, for what may create one.
func (o *imagesOptions) operations(ctx context.Context) (*incluster.Operations, error) {
	agents, err := clusterAgents(ctx, o.config)
	if err != nil {
		return nil, clusterError(err)
	}
	return incluster.NewOperations(o.config, agents)
}

// pushedImages says of a bundle's images what an Operation does.
func pushedImages(list []bundle.Image) []v1alpha1.PushedImage {
	out := make([]v1alpha1.PushedImage, 0, len(list))
	for _, i := range list {
		one := v1alpha1.PushedImage{Ref: i.Ref, Digest: i.Manifest.Digest.String(), For: i.For}
		for _, b := range i.Blobs {
			one.Size += b.Size
		}
		out = append(out, one)
	}
	return out
}
