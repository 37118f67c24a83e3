package images

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/feed"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// ListOptions say what is compared.
type ListOptions struct {
	Config *rest.Config
	// Selector chooses nodes by their labels; empty is all.
	Selector string
	// Missing is a Kubernetes version: only what nodes lack for it is listed.
	Missing string
	// Bundle is a bundle's file that nodes are compared with.
	Bundle string
	// Trust says which bundle that has to be.
	Trust bundles.Trust
}

// CheckList refuses what contradicts itself, without asking anybody.
func CheckList(o ListOptions) error {
	if o.Missing != "" && o.Bundle != "" {
		return action.Invalidf("--missing and --bundle are mutually exclusive")
	}
	return o.Trust.Requires(o.Bundle != "", "--bundle")
}

// RunList tells which image is on which node.
func RunList(ctx context.Context, o ListOptions, sink report.Sink) (images.Matrix, error) {
	if err := CheckList(o); err != nil {
		return images.Matrix{}, err
	}
	kube, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return images.Matrix{}, err
	}
	nodes, err := Nodes(ctx, kube, o.Selector)
	if err != nil {
		return images.Matrix{}, err
	}
	switch {
	case o.Missing != "":
		return missing(ctx, kube, nodes, o.Missing)
	case o.Bundle != "":
		b, err := o.Trust.Open(o.Bundle)
		if err != nil {
			return images.Matrix{}, err
		}
		defer b.Close() //nolint:errcheck // only read
		return compare(b.Contents(), nodes, sink), nil
	}
	return images.Survey(nodes), nil
}

// missing is what nodes lack for a version.
func missing(ctx context.Context, kube kubernetes.Interface, nodes []corev1.Node, version string) (images.Matrix, error) {
	list, err := OfKubernetes(ctx, kube, "missing", version)
	if err != nil {
		return images.Matrix{}, err
	}
	var wanted []v1alpha1.PushedImage
	for _, i := range list {
		wanted = append(wanted, v1alpha1.PushedImage{Ref: i.Ref, For: i.For})
	}
	m := images.Compare(nodes, wanted, false)
	m.Images = slices.DeleteFunc(m.Images, func(r images.Row) bool {
		return !slices.ContainsFunc(m.Nodes, func(n string) bool { return Lacks(r.States[n]) })
	})
	return m, nil
}

// Lacks tells whether a node lacks an image that it needs.
func Lacks(s images.State) bool { return s != images.Present && s != images.NotNeeded }

// compare is how nodes stand to a bundle, each to the images of its architecture.
func compare(c bundle.Contents, nodes []corev1.Node, sink report.Sink) images.Matrix {
	wanted := map[string][]v1alpha1.PushedImage{}
	for _, arch := range c.Archs() {
		wanted[arch] = feed.Pushed(c.ForArch(arch).Images)
	}
	for _, n := range nodes {
		if _, ok := wanted[agents.ArchOf(n)]; !ok {
			action.Warn(sink, "", "%s is %s, but the bundle is for %s: it has nothing for this node", n.Name, agents.ArchOf(n), strings.Join(c.Archs(), " and "))
		}
	}
	return images.CompareArchs(nodes, agents.ArchOf, wanted, false)
}
