package diagnose

import (
	"context"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
)

// Backups are those that the cluster's Operations tell of, or that are on its hosts, which are
// asked to read each of them. The newest come first. The error may be of some hosts only, beside
// what the others have told.
func Backups(ctx context.Context, config *rest.Config, onHosts bool) ([]upgrade.Backup, error) {
	find := toldBackups
	if onHosts {
		find = hostBackups
	}
	found, err := find(ctx, config)
	if len(found) == 0 {
		return nil, action.OfCluster(err)
	}
	return found, err
}

// toldBackups are those that the Operations tell of.
func toldBackups(ctx context.Context, config *rest.Config) ([]upgrade.Backup, error) {
	ops, err := incluster.NewOperations(config, nil)
	if err != nil {
		return nil, err
	}
	all, err := ops.List(ctx)
	return upgrade.Backups(all), err
}

// hostBackups are those that are there; the error is of hosts that could not be asked.
func hostBackups(ctx context.Context, config *rest.Config) ([]upgrade.Backup, error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	cluster, err := incluster.StoredCluster(ctx, kube)
	if err != nil {
		return nil, err
	}
	usual, err := agents.Usual(ctx, config)
	if err != nil {
		return nil, err
	}
	return upgrade.HostBackups(ctx, kube, cluster, usual)
}
