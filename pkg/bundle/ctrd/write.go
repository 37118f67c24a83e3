package ctrd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// bytes writes a small blob.
func (im *importer) bytes(ctx context.Context, d ocispec.Descriptor, data []byte, labels map[string]string) error {
	return im.write(ctx, d, labels, func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
}

// write brings a blob into the content store unless it is there, under the
// context's lease, and sets its labels.
func (im *importer) write(ctx context.Context, d ocispec.Descriptor, labels map[string]string, open func() (io.ReadCloser, error)) error {
	// Opening the writer also takes the lease on content that is there.
	ref := "kubectl-ha-" + d.Digest.String()
	w, err := content.OpenWriter(ctx, im.store, content.WithRef(ref), content.WithDescriptor(d))
	if errdefs.IsAlreadyExists(err) {
		return im.label(ctx, d, labels)
	}
	if err != nil {
		return fmt.Errorf("write blob %s into containerd: %w", d.Digest, err)
	}
	err = copyBlob(ctx, w, d, labels, open)
	if err = errors.Join(err, w.Close()); err != nil {
		// What came may be what is wrong; the next try begins anew.
		abort := im.store.Abort(context.WithoutCancel(ctx), ref)
		if errdefs.IsNotFound(abort) {
			abort = nil
		}
		return errors.Join(fmt.Errorf("write blob %s into containerd: %w", d.Digest, err), abort)
	}
	return nil
}

func copyBlob(ctx context.Context, w content.Writer, d ocispec.Descriptor, labels map[string]string, open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return err
	}
	err = content.Copy(ctx, w, r, d.Size, d.Digest, content.WithLabels(labels))
	return errors.Join(err, r.Close())
}

// label adds labels to content that somebody else may have brought.
func (im *importer) label(ctx context.Context, d ocispec.Descriptor, labels map[string]string) error {
	if len(labels) == 0 {
		return nil
	}
	info := content.Info{Digest: d.Digest, Labels: labels}
	var fields []string
	for k := range labels {
		fields = append(fields, "labels."+k)
	}
	if _, err := im.store.Update(ctx, info, fields...); err != nil {
		return fmt.Errorf("label blob %s in containerd: %w", d.Digest, err)
	}
	return nil
}

// publish unpacks an image and then gives it its names, so that whoever sees one
// can use the image.
func (im *importer) publish(ctx context.Context, want named) error {
	if err := containerd.NewImage(im.client, want[len(want)-1]).Unpack(ctx, im.opts.Snapshotter); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return im.name(ctx, want)
}
