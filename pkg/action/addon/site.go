package addon

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/feed"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// site is a cluster with what is installed in it.
type site struct {
	config    *rest.Config
	clients   *client.Clients
	cluster   *v1alpha1.Cluster
	installed []install.Inventory
}

// connect reaches the cluster and reads what is installed.
func connect(ctx context.Context, config *rest.Config) (*site, error) {
	clients, err := client.New(config)
	if err != nil {
		return nil, err
	}
	cluster, err := incluster.StoredCluster(ctx, clients.Kube)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	installed, err := install.Inventories(ctx, clients.Kube)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	return &site{config: config, clients: clients, cluster: cluster, installed: installed}, nil
}

// find is what is known of an installed addon.
func (s *site) find(name string) (install.Inventory, bool) {
	i := slices.IndexFunc(s.installed, func(inv install.Inventory) bool { return inv.Name == name })
	if i < 0 {
		return install.Inventory{}, false
	}
	return s.installed[i], true
}

// seen is what an Operation is planned by, without the addons that are about to be installed.
func (s *site) seen(ctx context.Context) (install.Seen, error) {
	nodes, err := s.nodes(ctx)
	if err != nil {
		return install.Seen{}, err
	}
	out := install.Seen{Nodes: nodes, Addons: map[string]*addon.Addon{}, Installed: map[string]install.Inventory{}}
	for _, inv := range s.installed {
		out.Installed[inv.Name] = inv
	}
	return out, nil
}

func (s *site) nodes(ctx context.Context) ([]corev1.Node, error) {
	nodes, err := s.clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, action.OfCluster(err)
	}
	return nodes.Items, nil
}

// steps are those that the cluster will take.
func (s *site) steps(spec v1alpha1.OperationSpec, seen install.Seen) ([]v1alpha1.StepStatus, error) {
	steps, err := install.Plan(&v1alpha1.Operation{Spec: spec}, s.cluster, seen)
	return steps, action.As(action.Findings, err)
}

// begin brings this program's agent and creates the Operation, with what is handed over for it.
func (s *site) begin(ctx context.Context, spec v1alpha1.OperationSpec, handOver handOver, sink report.Sink) (*incluster.Operations, string, error) {
	ops, err := agents.Ready(ctx, s.config, s.cluster, sink)
	if err != nil {
		return nil, "", err
	}
	op, err := feed.CreateWhenFree(ctx, handingOver{ops, handOver}, spec, sink)
	if err != nil {
		return nil, "", action.OfCluster(err)
	}
	return ops, op.Name, nil
}

// handOver hands over to a new Operation what it needs beside its spec; nil is nothing.
type handOver func(context.Context, *v1alpha1.Operation) error

// handingOver creates Operations with what is handed over for them.
type handingOver struct {
	*incluster.Operations
	handOver handOver
}

// Create is CreateWith.
func (h handingOver) Create(ctx context.Context, spec v1alpha1.OperationSpec) (*v1alpha1.Operation, error) {
	return h.CreateWith(ctx, spec, h.handOver)
}
