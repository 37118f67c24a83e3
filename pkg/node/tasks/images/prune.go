package images

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/distribution/reference"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Prune removes images, but never what a container uses: containerd is asked
// again, since whoever chose them looked at the cluster some time ago. What a push
// that was broken off has left is removed as well.
func Prune(ctx context.Context, env node.Env, spec PruneSpec) (any, error) {
	if env.Host.DryRun() {
		return nil, nil
	}
	sandbox, err := prepare.SandboxImage(ctx, env.Host)
	if err != nil {
		env.Sink.Emit(report.Event{Kind: report.Info, Message: fmt.Sprintf("pinned images all stay: %v", err)})
	}
	removals, err := ctrd.RemoveImages(ctx, prepare.Socket, spec.Refs, oldSandboxes(spec.Refs, sandbox))
	for _, ref := range spec.Used {
		removals = append(removals, ctrd.Removal{Ref: ref, Kept: "a pod needs it by now"})
	}
	return PruneData{Removals: removals}, errors.Join(err, dropStaged(ctx, env.Host))
}

// oldSandboxes are the references of sandbox images that are not the one that
// containerd makes sandboxes of: each was pinned when its version came, and nobody
// takes the pin away. Without knowing that one there are none. It is pure.
func oldSandboxes(refs []string, current string) (out []string) {
	now, err := reference.ParseDockerRef(current)
	if err != nil {
		return nil
	}
	for _, ref := range refs {
		named, err := reference.ParseDockerRef(ref)
		if err == nil && path.Base(reference.Path(named)) == "pause" && named.String() != now.String() {
			out = append(out, ref)
		}
	}
	return out
}
