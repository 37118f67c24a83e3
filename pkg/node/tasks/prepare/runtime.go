package prepare

import (
	"context"
	"errors"
	"fmt"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
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

// runtime is the container runtime as it is used here.
type runtime interface {
	// Version asks the running daemon; an error means that it does not answer.
	Version(ctx context.Context) (string, error)
	List(ctx context.Context) (map[string]digest.Digest, error)
	Import(ctx context.Context, list []bundle.Image, from bundle.Upstream, pinned []string, progress ctrd.Progress) (int, error)
	// ImportAgent makes an image of one binary.
	ImportAgent(ctx context.Context, ref, binary string) (bool, error)
}

// containerdRuntime is the runtime behind a socket.
type containerdRuntime struct{ socket string }

// Version asks the daemon.
func (r containerdRuntime) Version(ctx context.Context) (_ string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	client, err := containerd.New(r.socket, containerd.WithTimeout(askWithin))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	v, err := client.Version(ctx)
	return v.Version, err
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

// waitReady waits until the daemon answers.
func waitReady(ctx context.Context, h *host.Host, r runtime) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("containerd did not answer within %s", readyWithin))
	defer cancel()
	poll := time.NewTicker(readyInterval)
	defer poll.Stop()
	for {
		_, err := r.Version(ctx)
		if err == nil {
			return nil
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
