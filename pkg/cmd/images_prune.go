package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
)

// imagesPruneOptions remove images.
type imagesPruneOptions struct {
	imagesOptions
	keep   string
	unused bool
	yes    bool
	dryRun bool
	waitFlags
}

func newImagesPrune(shared imagesOptions) *cobra.Command {
	o := &imagesPruneOptions{imagesOptions: shared}
	c := &cobra.Command{
		Use:   "prune --keep VERSION",
		Short: "Remove images of other Kubernetes versions, never what a pod uses",
		Long: paragraphs(
			"Removes from the nodes' image stores what belongs to other Kubernetes versions than the one that is kept. With --unused every other image goes as well that no pod names: also one that only a job of tomorrow would need.",
			"What a pod or a container uses, and what is pinned, always stays: the pods are looked at again before anything is removed, and each node asks its containerd before each image. A sandbox (pause) image that containerd is not configured to use any more goes although it is pinned. A kubelet reports its 50 largest images, and only those can be chosen. What would go is shown first."),
		Example: examples(`
			# What would go, and nothing else
			kubectl ha images prune --keep ` + v1alpha1.DefaultKubernetesVersion + ` --dry-run

			kubectl ha images prune --keep ` + v1alpha1.DefaultKubernetesVersion),
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.keep == "" {
				return usageErrorf("name the Kubernetes version that is kept with --keep, such as --keep %s", v1alpha1.DefaultKubernetesVersion)
			}
			if err := checkOutput(o.output); err != nil {
				return err
			}
			if err := o.connect(); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&o.keep, "keep", "", "the Kubernetes `version` whose images stay")
	f.BoolVar(&o.unused, "unused", false, "also remove all other images that no pod names")
	o.addSelector(c, "prune only")
	o.add(f, "", "begin it, and leave")
	addDryRun(f, &o.dryRun, "show what would be removed, and end")
	addYes(f, &o.yes, "")
	f.StringVarP(&o.output, "output", "o", "", "text (default), or json: what is chosen, then an event per line")
	return c
}

// Run shows what would go, asks, and has it done.
func (o *imagesPruneOptions) Run(ctx context.Context) error {
	chosen, err := o.choose(ctx)
	if err != nil {
		return err
	}
	if err := o.show(chosen); err != nil || len(chosen) == 0 || o.dryRun {
		return err
	}
	if !o.yes {
		if err := confirm(ctx, o.In, o.ErrOut, "Remove these images?"); err != nil {
			return err
		}
		// The answer may have come late.
		if chosen, err = o.recheck(ctx, chosen); err != nil || len(chosen) == 0 {
			return err
		}
	}
	ops, err := readyOperations(ctx, o.IOStreams, o.config, nil, o.output)
	if err != nil {
		return err
	}
	op, err := createWhenFree(ctx, ops, v1alpha1.OperationSpec{Type: v1alpha1.OperationPruneImages,
		PruneImages: &v1alpha1.PruneImagesSpec{Nodes: chosen}}, o.ErrOut)
	if err != nil {
		return clusterError(err)
	}
	return watchOrLeave(ctx, o.IOStreams, ops, op.Name, o.output, o.waitFlags)
}

// choose says what could go.
func (o *imagesPruneOptions) choose(ctx context.Context) ([]v1alpha1.NodeImages, error) {
	keep, err := o.kubernetesImages(ctx, "keep", o.keep)
	if err != nil {
		return nil, err
	}
	nodes, err := o.nodes(ctx)
	if err != nil {
		return nil, err
	}
	pods, err := o.kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, clusterError(err)
	}
	opts := images.PruneOptions{Unused: o.unused, Never: []string{agentRepository, bundle.FormerAgentRepository}}
	for _, i := range keep {
		opts.Keep = append(opts.Keep, i.Ref)
	}
	if err := o.tellCut(images.Cut(nodes)); err != nil {
		return nil, err
	}
	return images.Prunable(nodes, pods.Items, opts), nil
}

// tellCut says of which nodes not all is seen.
func (o *imagesPruneOptions) tellCut(nodes []string) error {
	if len(nodes) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(o.ErrOut, "only the 50 largest images are seen on %s: their kubelets report no more, and smaller ones stay\n", strings.Join(nodes, ", "))
	return err
}

// recheck takes out of what was chosen what pods use by now, and says so.
func (o *imagesPruneOptions) recheck(ctx context.Context, chosen []v1alpha1.NodeImages) ([]v1alpha1.NodeImages, error) {
	nodes, err := o.nodes(ctx)
	if err != nil {
		return nil, err
	}
	pods, err := o.kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, clusterError(err)
	}
	left, inUse := images.Recheck(chosen, nodes, pods.Items)
	for _, ref := range inUse {
		if _, err := fmt.Fprintf(o.ErrOut, "%s stays: a pod needs it by now\n", ref); err != nil {
			return nil, err
		}
	}
	if len(left) == 0 {
		return nil, o.show(nil)
	}
	return left, nil
}

func (o *imagesPruneOptions) show(chosen []v1alpha1.NodeImages) error {
	if o.output == outputJSON {
		if chosen == nil {
			chosen = []v1alpha1.NodeImages{}
		}
		return writeJSONLine(o.Out, map[string]any{"remove": chosen})
	}
	if len(chosen) == 0 {
		_, err := fmt.Fprintln(o.Out, "There is nothing to remove.")
		return err
	}
	for _, n := range chosen {
		if _, err := fmt.Fprintf(o.Out, "%s: %s\n", n.Name, plural(len(n.Refs), "image", "images")); err != nil {
			return err
		}
		for _, ref := range n.Refs {
			if _, err := fmt.Fprintf(o.Out, "  %s\n", ref); err != nil {
				return err
			}
		}
	}
	return nil
}
