package images

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
)

// Prune removes images, but never what a container uses: containerd is asked
// again, since whoever chose them looked at the cluster some time ago.
func Prune(ctx context.Context, env node.Env, spec PruneSpec) (any, error) {
	if env.Host.DryRun() {
		return nil, nil
	}
	removals, err := ctrd.RemoveImages(ctx, prepare.Socket, spec.Refs)
	for _, ref := range spec.Used {
		removals = append(removals, ctrd.Removal{Ref: ref, Kept: "a pod needs it by now"})
	}
	return PruneData{Removals: removals}, err
}
