package operate

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

// Connection is the way to a cluster that runs, and the document that it has of itself.
type Connection struct {
	Config  *rest.Config
	Clients *client.Clients
	// Stored is the Cluster document in the cluster, with its defaults set. It has no passwords.
	Stored *v1alpha1.Cluster
	// Source has this program's agent, packed once for all that is done by this connection.
	Source *agents.Source

	ops *incluster.Operations
}

// Connect reads the stored document, and which agents the cluster has. A cluster that has no
// document is an action.Invalid.
func Connect(ctx context.Context, config *rest.Config) (*Connection, error) {
	clients, err := client.New(config)
	if err != nil {
		return nil, err
	}
	stored, err := incluster.StoredCluster(ctx, clients.Kube)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	source, err := agents.NewSource()
	if err != nil {
		return nil, err
	}
	usual, err := source.Usual(ctx, config)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	ops, err := incluster.NewOperations(config, usual)
	if err != nil {
		return nil, err
	}
	return &Connection{Config: config, Clients: clients, Stored: stored, Source: source, ops: ops}, nil
}

// Manifests are an Operation and its coordinator's Job, for whoever applies them. name is what
// the Operation is about, and part of its name; it may be empty.
func (c *Connection) Manifests(ctx context.Context, spec v1alpha1.OperationSpec, name string) ([]*unstructured.Unstructured, error) {
	objects, err := c.ops.Manifests(ctx, spec, name)
	return objects, action.OfCluster(err)
}
