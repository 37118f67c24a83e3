package prepare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Socket is containerd's.
const Socket = "/run/containerd/containerd.sock"

const (
	readyWithin   = time.Minute
	readyInterval = 100 * time.Millisecond
	askWithin     = 5 * time.Second
)

const brokenHint = "look at journalctl -u containerd on the host. \"Too many open files\" there means that the host's inotify instances are used up: " +
	"raise the limit (sysctl -w fs.inotify.max_user_instances=8192), systemctl restart containerd, and run the command again"

// runtime is the container runtime as it is used here.
type runtime interface {
	// Ready asks the running daemon. A *ctrd.BrokenError means that it answers,
	// but will serve no kubelet; any other error that it does not answer.
	Ready(ctx context.Context) error
	List(ctx context.Context) (map[string]digest.Digest, error)
	Import(ctx context.Context, list []bundle.Image, from bundle.Upstream, pinned []string, progress ctrd.Progress) (int, error)
	// ImportAgent makes an image of one binary.
	ImportAgent(ctx context.Context, ref, binary string) (bool, error)
}

// containerdRuntime is the runtime behind a socket.
type containerdRuntime struct{ socket string }

// Ready asks the daemon.
func (r containerdRuntime) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	return ctrd.CheckCRI(ctx, r.socket)
}

// List lists the images by reference.
func (r containerdRuntime) List(ctx context.Context) (map[string]digest.Digest, error) {
	return ctrd.ListImages(ctx, r.socket)
}

// Import imports those that are missing.
func (r containerdRuntime) Import(ctx context.Context, list []bundle.Image, from bundle.Upstream, pinned []string, progress ctrd.Progress) (int, error) {
	return ctrd.ImportImages(ctx, r.socket, list, from, ctrd.ImportOptions{Pinned: pinned}, progress)
}

// ImportAgent makes and imports the agent's image.
func (r containerdRuntime) ImportAgent(ctx context.Context, ref, binary string) (bool, error) {
	return ctrd.ImportAgentImage(ctx, r.socket, ref, binary, nil)
}

// waitReady waits until the daemon answers. One that will serve no kubelet until
// it is started again is an error at once.
func waitReady(ctx context.Context, h *host.Host, r runtime) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("containerd did not answer within %s", readyWithin))
	defer cancel()
	poll := time.NewTicker(readyInterval)
	defer poll.Stop()
	for {
		err := r.Ready(ctx)
		if err == nil {
			return nil
		}
		var broken *ctrd.BrokenError
		if errors.As(err, &broken) {
			return host.WithHint(err, brokenHint)
		}
		select {
		case <-ctx.Done():
			u, unitErr := h.Unit(context.WithoutCancel(ctx), containerdUnit)
			if unitErr != nil {
				u.ActiveState = unitErr.Error()
			}
			return host.WithHint(fmt.Errorf("%w (its unit is %s, last error: %w)", context.Cause(ctx), u.ActiveState, err),
				"look at journalctl -u containerd on the host")
		case <-poll.C:
		}
	}
}
