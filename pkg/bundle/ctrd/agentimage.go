package ctrd

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// ImportAgentImage makes the image of one binary for this host (bundle.AgentImage) and
// puts it into containerd under ref, REPOSITORY:TAG, and by its digest, pinned against
// garbage collection, with labels besides. It tells whether it had to.
func ImportAgentImage(ctx context.Context, socket, ref, binaryPath string, labels map[string]string) (_ bool, err error) {
	built, source, err := bundle.AgentImage(ctx, ref, binaryPath, runtime.GOARCH)
	if err != nil {
		return false, err
	}
	ctx, client, err := connect(ctx, socket)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	im := newImporter(client, source, ImportOptions{Labels: labels, Pinned: []string{ref}})
	ctx, release, err := im.lease(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, release()) }()
	did, err := im.image(ctx, built)
	if err != nil {
		return false, fmt.Errorf("import image %s: %w", ref, err)
	}
	return did, nil
}
