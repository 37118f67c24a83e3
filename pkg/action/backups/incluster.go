package backups

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups"
)

// InCluster reaches the nodes of a cluster by Jobs, and asks its API for what is under way. Hosts
// that are no nodes are left out.
func InCluster(ctx context.Context, config *rest.Config, c *v1alpha1.Cluster) (Options, error) {
	o := Options{Cluster: c, On: c.Nodes()}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return o, err
	}
	usual, err := agents.Usual(ctx, config)
	if err != nil {
		return o, err
	}
	o.Hosts = agents.Jobs{Kube: kube, Agents: usual, For: "backup", Otherwise: ", or use -f to go over SSH"}
	ops, err := incluster.NewOperations(config, nil)
	if err != nil {
		return o, err
	}
	all, err := ops.List(ctx)
	if err != nil && !apierrors.IsNotFound(err) {
		return o, action.OfCluster(err)
	}
	o.Began, o.InProgress = backups.Began(all), backups.InProgress(all)
	return o, nil
}

// At has a target known that the nodes reach: by the credentials that were given, as TargetOf reads
// them, else by those of its Secret.
func (o Options) At(ctx context.Context, config *rest.Config, text string, credentials []byte) (Options, error) {
	var err error
	if credentials != nil {
		o.Target, err = TargetOf(o.Cluster, text, credentials)
	} else {
		o.Target, err = InSecret(ctx, config, o.Cluster, text)
	}
	return o, err
}

// InSecret is a target with the credentials of its Secret; a folder of the hosts has none.
func InSecret(ctx context.Context, config *rest.Config, c *v1alpha1.Cluster, text string) (*Target, error) {
	if _, err := backups.Named(c, text); err != nil {
		return nil, action.As(action.Invalid, err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	t, err := backups.InSecret(ctx, kube, c, text)
	var missing *backups.NoSecretError
	if errors.As(err, &missing) {
		return nil, action.As(action.Invalid, err)
	}
	return t, action.OfCluster(err)
}
