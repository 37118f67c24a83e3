package cli

import (
	"context"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

// StoredCluster reaches the cluster that the kubeconfig names, and reads its document.
func StoredCluster(ctx context.Context, access *genericclioptions.ConfigFlags) (*rest.Config, *client.Clients, *v1alpha1.Cluster, error) {
	config, err := RestConfig(access)
	if err != nil {
		return nil, nil, nil, err
	}
	clients, err := client.New(config)
	if err != nil {
		return nil, nil, nil, err
	}
	cluster, err := incluster.StoredCluster(ctx, clients.Kube)
	return config, clients, cluster, action.OfCluster(err)
}
