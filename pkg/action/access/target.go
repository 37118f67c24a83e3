package access

import (
	"context"
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// target is what a kubeconfig points at, and how it calls that.
type target struct {
	cluster      *v1alpha1.Cluster
	server, name string
}

// findTarget finds out what the kubeconfig is to point at, by the document that was given and what
// the cluster knows.
func findTarget(ctx context.Context, config *rest.Config, o IssueOptions) (target, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return target{}, action.As(action.Invalid, err)
	}
	stored, err := incluster.StoredCluster(ctx, client)
	document := o.Cluster
	switch {
	case err == nil:
		document = documentOf(o.Cluster, stored)
	case o.Cluster == nil:
		return target{}, action.OfCluster(fmt.Errorf("%w (or give the Cluster file with -f)", err))
	}
	if o.Same {
		o = o.as(document, config.Host)
	}
	return o.target(document)
}

// as points at what a server's URL is in a cluster; any other leaves it as it was. It is pure.
func (o IssueOptions) as(c *v1alpha1.Cluster, server string) IssueOptions {
	switch server {
	case ServerURL(c):
		o.VirtualIP = true
		return o
	case "https://" + c.BalancedEndpoint():
		o.LoadBalancer = c.Spec.LoadBalancer.Enabled
		return o
	}
	for _, h := range c.ControlPlanes() {
		if server == c.APIServerURL(h.Address) {
			o.Node = h.Name
		}
	}
	return o
}

// documentOf is the document that was given, where one was, else the stored one. Which load
// balancer there is the cluster knows, not a file. It is pure.
func documentOf(given, stored *v1alpha1.Cluster) *v1alpha1.Cluster {
	if given == nil {
		return stored
	}
	out := *given
	out.Spec.LoadBalancer = stored.Spec.LoadBalancer
	return &out
}

// target is what the kubeconfig points at in a cluster. It is pure.
func (o IssueOptions) target(c *v1alpha1.Cluster) (target, error) {
	t := target{cluster: c, name: c.Metadata.Name, server: "https://" + c.EndpointFor(v1alpha1.UseForKubeconfig)}
	switch {
	case o.VirtualIP:
		t.server = ServerURL(c)
	case o.LoadBalancer && !c.Spec.LoadBalancer.Enabled:
		return target{}, action.Invalidf("no load balancer is installed; %s loadbalancer install installs one", program.Name)
	case o.LoadBalancer:
		t.server = "https://" + c.BalancedEndpoint()
	case o.Node != "":
		h, ok := c.Host(o.Node)
		if !ok || !h.Has(v1alpha1.RoleControlPlane) {
			return target{}, action.Invalidf("--node %s: not a control plane node of the cluster %s", o.Node, t.name)
		}
		t.name += "-" + o.Node
		t.server = c.APIServerURL(h.Address)
	}
	return t, nil
}
