package ctrd

import (
	"context"
	"errors"
	"fmt"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"
)

const (
	// Namespace is the one in which the kubelet's images are.
	Namespace = "k8s.io"
	// DefaultSnapshotter is the one that CRI uses unless configured otherwise.
	DefaultSnapshotter = "overlayfs"

	// labelPinned keeps the kubelet's image garbage collection away;
	// internal/cri/labels in containerd.
	labelPinned      = "io.cri-containerd.pinned"
	labelPinnedValue = "pinned"

	dialTimeout = 30 * time.Second
)

// connect reaches the daemon. The context that comes back is for its calls.
func connect(ctx context.Context, socket string) (context.Context, *containerd.Client, error) {
	client, err := containerd.New(socket, containerd.WithDefaultNamespace(Namespace), containerd.WithTimeout(dialTimeout))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to containerd at %s: %w; see `journalctl -u containerd`", socket, err)
	}
	return inNamespace(ctx), client, nil
}

func inNamespace(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, Namespace)
}

// ListImages tells the manifest's (or index's) digest of every image by its
// references, those by digest among them.
func ListImages(ctx context.Context, socket string) (_ map[string]digest.Digest, err error) {
	ctx, client, err := connect(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	list, err := client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the images in containerd: %w", err)
	}
	out := make(map[string]digest.Digest, len(list))
	for _, i := range list {
		out[i.Name] = i.Target.Digest
	}
	return out, nil
}
