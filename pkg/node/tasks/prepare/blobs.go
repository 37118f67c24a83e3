package prepare

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// fetching is how many blobs travel at once.
const fetching = 4

// fetcher brings blobs to this host and opens them; *swarm.Client is one.
type fetcher interface {
	// Fetch tells how many bytes had to be brought.
	Fetch(ctx context.Context, blob bundle.Blob) (int64, error)
	Open(d digest.Digest) (*os.File, error)
}

// blobs gives blobs from this host, and has those fetched that it lacks, each
// once, whoever asks. It is a bundle.Upstream for the import of images.
type blobs struct {
	from fetcher
	// prepareStore is called once, before the first fetch.
	prepareStore func() error
	progress     func(format string, args ...any)
	known        map[digest.Digest]bundle.Blob
	slots        chan struct{}
	bytes        atomic.Int64

	mu    sync.Mutex
	calls map[digest.Digest]*call
	// announced are the blobs that are, or will be, asked for; wanted and arrived
	// are bytes. For the progress.
	announced       map[digest.Digest]bool
	wanted, arrived int64
}

// call is one blob's fetch.
type call struct {
	done chan struct{}
	err  error
}

func newBlobs(ctx context.Context, h *host.Host, from fetcher, binaries []bundle.Binary, images []bundle.Image, progress func(string, ...any)) *blobs {
	b := &blobs{from: from, progress: progress,
		known: map[digest.Digest]bundle.Blob{}, slots: make(chan struct{}, fetching), calls: map[digest.Digest]*call{},
		announced: map[digest.Digest]bool{}}
	for _, blob := range (bundle.Contents{Binaries: binaries, Images: images}).Blobs() {
		b.known[blob.Digest] = blob
	}
	b.prepareStore = sync.OnceValue(func() error {
		return h.Record(ctx, host.KindDirectory, StoreDir, "fetched blobs, until they are used")
	})
	return b
}

// get makes sure that a blob is here.
func (b *blobs) get(ctx context.Context, d digest.Digest) error {
	blob, ok := b.known[d]
	if !ok {
		return fmt.Errorf("blob %s is not in the bundle's contents: %w", d, bundle.ErrMissing)
	}
	b.mu.Lock()
	c := b.calls[d]
	if c == nil {
		c = &call{done: make(chan struct{})}
		b.calls[d] = c
		b.announce(blob)
		go func() {
			c.err = b.fetch(ctx, blob)
			close(c.done)
		}()
	}
	b.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *blobs) fetch(ctx context.Context, blob bundle.Blob) error {
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := b.prepareStore(); err != nil {
		return err
	}
	n, err := b.from.Fetch(ctx, blob)
	b.bytes.Add(n)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.arrived += blob.Size
	arrived, wanted := b.arrived, b.wanted
	b.mu.Unlock()
	b.progress("fetched %s of %s", report.Size(arrived), report.Size(wanted))
	return nil
}

// announce counts a blob that will be fetched. The mutex is held.
func (b *blobs) announce(blob bundle.Blob) {
	if !b.announced[blob.Digest] {
		b.announced[blob.Digest] = true
		b.wanted += blob.Size
	}
}

// prefetch fetches in the given order ahead of those who will ask.
func (b *blobs) prefetch(ctx context.Context, list []bundle.Blob) error {
	b.mu.Lock()
	for _, blob := range list {
		b.announce(blob)
	}
	b.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetching)
	for _, blob := range list {
		group.Go(func() error { return b.get(ctx, blob.Digest) })
	}
	return group.Wait()
}

// Blob makes it a bundle.Upstream.
func (b *blobs) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	if err := b.get(ctx, d); err != nil {
		return nil, 0, err
	}
	f, err := b.from.Open(d)
	if err != nil {
		return nil, 0, err
	}
	return f, b.known[d].Size, nil
}

// binary opens a binary's own content.
func (b *blobs) binary(ctx context.Context, bin bundle.Binary) (io.ReadCloser, error) {
	if err := b.get(ctx, bin.Blob.Digest); err != nil {
		return nil, err
	}
	f, err := b.from.Open(bin.Blob.Digest)
	if err != nil {
		return nil, err
	}
	content, err := bin.Decompress(f)
	if err != nil {
		// The file was only read.
		_ = f.Close()
		return nil, err
	}
	return &decompressed{ReadCloser: content, file: f}, nil
}

// decompressed closes the file beneath as well.
type decompressed struct {
	io.ReadCloser
	file *os.File
}

func (d *decompressed) Close() error {
	err := d.ReadCloser.Close()
	// The file was only read.
	_ = d.file.Close()
	return err
}
