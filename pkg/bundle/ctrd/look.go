package ctrd

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/opencontainers/go-digest"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// Missing tells which of the images are not in place: there with the same
// manifest under all their references, and unpacked.
func Missing(ctx context.Context, socket string, list []bundle.Image, opts ImportOptions) (_ []bundle.Image, err error) {
	ctx, client, err := connect(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	im := newImporter(client, nil, opts)
	var out []bundle.Image
	for _, i := range list {
		want, err := im.wanted(i)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", i.Ref, err)
		}
		ok, err := im.inPlace(ctx, want)
		if err != nil {
			return nil, fmt.Errorf("look for image %s in containerd: %w", i.Ref, err)
		}
		if !ok {
			out = append(out, i)
		}
	}
	return out, nil
}

// Content gives blobs out of containerd's content store, from any position. It
// may be used from many goroutines.
type Content struct {
	client *containerd.Client
	store  content.Store
}

// OpenContent connects to the daemon; the caller closes it.
func OpenContent(ctx context.Context, socket string) (*Content, error) {
	_, client, err := connect(ctx, socket)
	if err != nil {
		return nil, err
	}
	return &Content{client: client, store: client.ContentStore()}, nil
}

// Close ends the connection.
func (c *Content) Close() error { return c.client.Close() }

// ReaderAt opens a blob; one that is not there is an error that wraps bundle.ErrMissing.
func (c *Content) ReaderAt(ctx context.Context, d digest.Digest) (content.ReaderAt, error) {
	ctx = inNamespace(ctx)
	r, err := c.store.ReaderAt(ctx, ocispec.Descriptor{Digest: d})
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("%s in containerd: %w", d, bundle.ErrMissing)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s in containerd: %w", d, err)
	}
	return r, nil
}

// Directories are those below which containerd keeps compressed content and
// unpacked layers; empty where it does not tell.
func Directories(ctx context.Context, socket string) (blobs, layers string, err error) {
	ctx, client, err := connect(ctx, socket)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	answer, err := client.IntrospectionService().Plugins(ctx,
		"type==io.containerd.content.v1,id==content", "type==io.containerd.snapshotter.v1,id=="+DefaultSnapshotter)
	if err != nil {
		return "", "", fmt.Errorf("ask containerd for its directories: %w", err)
	}
	for _, p := range answer.Plugins {
		if p.ID == DefaultSnapshotter {
			layers = p.Exports["root"]
		} else {
			blobs = p.Exports["root"]
		}
	}
	return blobs, layers, nil
}
