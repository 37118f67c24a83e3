package images

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/feed"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// PruneOptions say what is removed.
type PruneOptions struct {
	Config *rest.Config
	// Keep is the Kubernetes version whose images stay.
	Keep string
	// Unused removes all other images too that no pod names.
	Unused bool
	// Selector chooses nodes by their labels; empty is all.
	Selector string
}

// Prune is what can go, before and after a person was asked.
type Prune struct {
	PruneOptions
	kube kubernetes.Interface
	sink report.Sink
	// Chosen is what goes from which node.
	Chosen []v1alpha1.NodeImages
}

// PlanPrune chooses what can go; it changes nothing.
func PlanPrune(ctx context.Context, o PruneOptions, sink report.Sink) (*Prune, error) {
	kube, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, err
	}
	p := &Prune{PruneOptions: o, kube: kube, sink: sink}
	keep, err := OfKubernetes(ctx, kube, "keep", o.Keep)
	if err != nil {
		return nil, err
	}
	nodes, err := Nodes(ctx, kube, o.Selector)
	if err != nil {
		return nil, err
	}
	pods, err := kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, action.OfCluster(err)
	}
	opts := images.PruneOptions{Unused: o.Unused, Never: []string{bundle.AgentRepository, bundle.FormerAgentRepository}}
	for _, i := range keep {
		opts.Keep = append(opts.Keep, i.Ref)
	}
	tellCut(images.Cut(nodes), sink)
	p.Chosen = images.Prunable(nodes, pods.Items, opts)
	return p, nil
}

// tellCut says of which nodes not all is seen.
func tellCut(nodes []string, sink report.Sink) {
	if len(nodes) > 0 {
		action.Warn(sink, "", "only the 50 largest images are known on %s: kubelets report no more; smaller images are kept", strings.Join(nodes, ", "))
	}
}

// recheck takes out of what was chosen what pods use by now, and says so: a person was asked in
// between, and the answer may have come late.
func (p *Prune) recheck(ctx context.Context) error {
	nodes, err := Nodes(ctx, p.kube, p.Selector)
	if err != nil {
		return err
	}
	pods, err := p.kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return action.OfCluster(err)
	}
	left, inUse := images.Recheck(p.Chosen, nodes, pods.Items)
	for _, ref := range inUse {
		action.Tell(p.sink, "%s is kept: a pod now uses it", ref)
	}
	p.Chosen = left
	return nil
}

// Begin creates the Operation that removes what was chosen and is not in use by now. Its name is
// empty when nothing of that is left.
func (p *Prune) Begin(ctx context.Context) (*incluster.Operations, string, error) {
	if err := p.recheck(ctx); err != nil || len(p.Chosen) == 0 {
		return nil, "", err
	}
	ops, err := agents.Ready(ctx, p.Config, nil, p.sink)
	if err != nil {
		return nil, "", err
	}
	op, err := feed.CreateWhenFree(ctx, ops, v1alpha1.OperationSpec{Type: v1alpha1.OperationPruneImages,
		PruneImages: &v1alpha1.PruneImagesSpec{Nodes: p.Chosen}}, p.sink)
	if err != nil {
		return nil, "", action.OfCluster(err)
	}
	return ops, op.Name, nil
}
