package ctrd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

const (
	// leaseLife keeps the content of an import that was cut off for the next
	// try, and not for ever.
	leaseLife = 24 * time.Hour
	// defaultParallel: unpacking is the daemon's work and bound by CPU and disk.
	defaultParallel = 3
	maxManifest     = 4 << 20
)

// ImportOptions says how images are put into containerd.
type ImportOptions struct {
	// Pinned are the references that the kubelet's garbage collection must not
	// remove: the pause image.
	Pinned []string
	// Labels are put on every image.
	Labels map[string]string
	// Snapshotter is unpacked for. Default DefaultSnapshotter.
	Snapshotter string
	// Parallel is how many images are imported at once. Default 3.
	Parallel int
}

// Progress is called from many goroutines when an image is in place, with its
// reference, whether it had to be imported, and how many of how many are done.
type Progress func(ref string, imported bool, done, total int)

// ImportImages puts images into containerd, unpacked, under their references,
// and tells how many had to be. An image that is there with the same manifest,
// unpacked and labelled, is left alone. Blobs are read from source as streams.
func ImportImages(ctx context.Context, socket string, list []bundle.Image, source bundle.Upstream, opts ImportOptions, progress Progress) (_ int, err error) {
	ctx, client, err := connect(ctx, socket)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	im := newImporter(client, source, opts)
	ctx, release, err := im.lease(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, release()) }()
	var imported, done atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(im.opts.Parallel)
	for _, i := range list {
		group.Go(func() error {
			changed, err := im.image(groupCtx, i)
			if err != nil {
				return fmt.Errorf("import image %s: %w", i.Ref, err)
			}
			if changed {
				imported.Add(1)
			}
			if n := done.Add(1); progress != nil {
				progress(i.Ref, changed, int(n), len(list))
			}
			return nil
		})
	}
	err = group.Wait()
	return int(imported.Load()), err
}

// importer is one connection's worth of imports.
type importer struct {
	client *containerd.Client
	store  content.Store
	source bundle.Upstream
	opts   ImportOptions
}

func newImporter(client *containerd.Client, source bundle.Upstream, opts ImportOptions) *importer {
	if opts.Snapshotter == "" {
		opts.Snapshotter = DefaultSnapshotter
	}
	if opts.Parallel <= 0 {
		opts.Parallel = defaultParallel
	}
	return &importer{client: client, store: client.ContentStore(), source: source, opts: opts}
}

// lease protects what is written until images refer to it.
func (im *importer) lease(ctx context.Context) (context.Context, func() error, error) {
	manager := im.client.LeasesService()
	l, err := manager.Create(ctx, leases.WithRandomID(), leases.WithExpiration(leaseLife))
	if err != nil {
		return nil, nil, fmt.Errorf("take a lease in containerd: %w", err)
	}
	release := func() error {
		// Also when the import was broken off.
		if err := manager.Delete(context.WithoutCancel(ctx), l); err != nil {
			return fmt.Errorf("give the lease in containerd back: %w", err)
		}
		return nil
	}
	return leases.WithLease(ctx, l.ID), release, nil
}

// image imports one image unless it is in place.
func (im *importer) image(ctx context.Context, i bundle.Image) (bool, error) {
	want, err := im.wanted(i)
	if err != nil {
		return false, err
	}
	if ok, err := im.inPlace(ctx, want); ok || err != nil {
		return false, err
	}
	data, labels, err := im.manifest(ctx, i)
	if err != nil {
		return false, err
	}
	for _, b := range i.Blobs[1:] {
		if err := im.blob(ctx, b); err != nil {
			return false, err
		}
	}
	// After what it refers to, as the content store's collector wants it.
	if err := im.bytes(ctx, descriptor(i.Manifest), data, labels); err != nil {
		return false, err
	}
	return true, im.publish(ctx, want)
}

// wanted are the references that an image is to have.
func (im *importer) wanted(i bundle.Image) (named, error) {
	if len(i.Blobs) < 2 || i.Blobs[0] != i.Manifest {
		return nil, errors.New("its blobs do not begin with its manifest and config")
	}
	return im.named(images.Image{Name: i.Ref, Target: descriptor(i.Manifest), Labels: im.labels(i.Ref)}, i.Blobs[1].Digest)
}

func (im *importer) labels(ref string) map[string]string {
	out := map[string]string{}
	for k, v := range im.opts.Labels {
		out[k] = v
	}
	if slices.Contains(im.opts.Pinned, ref) {
		out[labelPinned] = labelPinnedValue
	}
	return out
}

// inPlace tells whether there is nothing to do.
func (im *importer) inPlace(ctx context.Context, want named) (bool, error) {
	if ok, err := im.there(ctx, want); !ok || err != nil {
		return false, err
	}
	unpacked, err := containerd.NewImage(im.client, want[len(want)-1]).IsUnpacked(ctx, im.opts.Snapshotter)
	if errdefs.IsNotFound(err) {
		// Its manifest or config is gone: it is to be imported again.
		return false, nil
	}
	return unpacked, err
}

// manifest reads an image's manifest and makes the labels by which the
// collector follows it.
func (im *importer) manifest(ctx context.Context, i bundle.Image) ([]byte, map[string]string, error) {
	if i.Manifest.Size > maxManifest {
		return nil, nil, fmt.Errorf("a manifest of %d bytes can't be", i.Manifest.Size)
	}
	r, _, err := im.source.Blob(ctx, i.Manifest.Digest)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, nil, err
	}
	if got := digest.FromBytes(data); got != i.Manifest.Digest {
		return nil, nil, fmt.Errorf("manifest %s turned out to be %s", i.Manifest.Digest, got)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, nil, fmt.Errorf("manifest %s: %w", i.Manifest.Digest, err)
	}
	// Docker's and the OCI's manifests have these fields alike.
	labels := map[string]string{"containerd.io/gc.ref.content.config": m.Config.Digest.String()}
	for n, l := range m.Layers {
		labels[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", n)] = l.Digest.String()
	}
	return data, labels, nil
}

// blob streams one blob into the content store, which checks size and digest.
// Two images that share it may write it side by side: the store lets one in.
func (im *importer) blob(ctx context.Context, b bundle.Blob) error {
	return im.write(ctx, descriptor(b), nil, func() (io.ReadCloser, error) {
		r, size, err := im.source.Blob(ctx, b.Digest)
		if err == nil && size >= 0 && size != b.Size {
			return nil, errors.Join(fmt.Errorf("blob %s has %d bytes instead of %d", b.Digest, size, b.Size), r.Close())
		}
		return r, err
	})
}

func descriptor(b bundle.Blob) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: b.MediaType, Digest: b.Digest, Size: b.Size}
}
