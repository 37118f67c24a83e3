package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Client fetches blobs from a Server.
type Client struct {
	source    string
	sameStore bool
	http      *http.Client
}

// NewClient makes a client of a source. The caller closes it.
func NewClient(source Source) (*Client, error) {
	config, err := tlsConfig(source.CA, source.Cert, source.Key)
	if err != nil {
		return nil, err
	}
	// No proxy: the source is a host of the same cluster.
	transport := &http.Transport{TLSClientConfig: config, TLSHandshakeTimeout: 30 * time.Second,
		// The source answers at once when it has the blob or when its own source has.
		ResponseHeaderTimeout: 2 * time.Minute, DisableCompression: true, MaxIdleConnsPerHost: 8}
	return &Client{source: source.URL, sameStore: source.SameStore, http: &http.Client{Transport: transport}}, nil
}

// Close ends its connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Blob asks for a whole blob. It makes a Client an Upstream.
func (c *Client) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	res, err := c.get(ctx, d, 0)
	if err != nil {
		return nil, 0, err
	}
	return res.Body, res.ContentLength, nil
}

// Fetch brings a blob into the store, unless it is there, and tells how many
// bytes travelled. What a broken connection left is gone on with, also by a
// later run; what is wrong is thrown away.
func (c *Client) Fetch(ctx context.Context, blob Blob, store *Store) (int64, error) {
	return c.fetch(ctx, blob, store, nil)
}

func (c *Client) fetch(ctx context.Context, blob Blob, store *Store, progress func(n int64)) (int64, error) {
	if err := checkDigest(blob.Digest); err != nil {
		return 0, err
	}
	if store.Has(blob) && store.Verify(ctx, blob.Digest) == nil {
		return 0, nil
	}
	if c.sameStore {
		err := retryRead(ctx, nil, func() error { return c.await(ctx, blob, store) })
		if err != nil {
			return 0, fmt.Errorf("fetch from %s: %w", c.source, err)
		}
		if progress != nil {
			progress(blob.Size)
		}
		return blob.Size, nil
	}
	w, err := store.writer(blob)
	if err != nil {
		return 0, err
	}
	in := &intake{writer: w, progress: progress}
	resumed := w.Offset() > 0
	for {
		err := retryMoving(ctx, nil, w.Offset, func() error { return c.part(ctx, blob, in) })
		if err == nil && resumed && w.sum() != blob.Digest {
			// What an earlier run left may be what is wrong: once more, whole.
			resumed = false
			if err := w.reset(); err != nil {
				return in.n, errors.Join(err, w.Close())
			}
			continue
		}
		if err != nil {
			return in.n, errors.Join(fmt.Errorf("fetch from %s: %w", c.source, err), w.abandon(err))
		}
		if err := w.Commit(); err != nil {
			return in.n, fmt.Errorf("fetch from %s: %w", c.source, err)
		}
		return in.n, nil
	}
}

// part does one GET from where the writer is.
func (c *Client) part(ctx context.Context, blob Blob, in *intake) error {
	if in.writer.Offset() == blob.Size {
		return nil
	}
	ctx, watch := watchStall(ctx)
	defer watch.end()
	res, err := c.get(ctx, blob.Digest, in.writer.Offset())
	if err != nil {
		return watch.explain(err)
	}
	defer closeBody(res)
	if res.StatusCode == http.StatusOK && in.writer.Offset() > 0 {
		if err := in.writer.reset(); err != nil {
			return err
		}
	}
	if left := blob.Size - in.writer.Offset(); res.ContentLength != left {
		return fmt.Errorf("blob %s: %d bytes were announced instead of %d: %w", blob.Digest, res.ContentLength, left, errDigest)
	}
	if _, err := io.Copy(in, watch.reader(&contextReader{ctx: ctx, r: res.Body})); err != nil {
		return fmt.Errorf("blob %s: %w", blob.Digest, watch.explain(err))
	}
	if in.writer.Offset() < blob.Size {
		return fmt.Errorf("blob %s: %w", blob.Digest, io.ErrUnexpectedEOF)
	}
	return nil
}

// await asks for a blob's last byte, which the server sends once the whole is in
// its store and verified. There is nothing to be written twice.
func (c *Client) await(ctx context.Context, blob Blob, store *Store) error {
	res, err := c.get(ctx, blob.Digest, blob.Size-1)
	if err != nil {
		return err
	}
	defer closeBody(res)
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return fmt.Errorf("blob %s: %w", blob.Digest, err)
	}
	if !store.Has(blob) {
		return fmt.Errorf("blob %s: the server has it elsewhere: %w", blob.Digest, ErrMissing)
	}
	return nil
}

// get asks for a blob from an offset on.
func (c *Client) get(ctx context.Context, d digest.Digest, offset int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.source+blobPath+d.String(), nil)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK || (res.StatusCode == http.StatusPartialContent && offset > 0) {
		return res, nil
	}
	defer closeBody(res)
	return nil, answered(d, res)
}

// intake counts what travelled on its way into a writer.
type intake struct {
	writer   *blobWriter
	n        int64
	progress func(n int64)
}

func (i *intake) Write(p []byte) (int, error) {
	n, err := i.writer.Write(p)
	i.n += int64(n)
	if i.progress != nil {
		i.progress(int64(n))
	}
	return n, err
}

// FetchAll fetches blobs, so many at a time, and tells how many bytes
// travelled. progress, which may be nil, is called from many goroutines with
// the bytes that are there and the bytes of all.
func (c *Client) FetchAll(ctx context.Context, blobs []Blob, store *Store, parallel int, progress func(done, total int64)) (int64, error) {
	var total int64
	for _, b := range blobs {
		total += b.Size
	}
	var done, travelled atomic.Int64
	tell := func(n int64) {
		if now := done.Add(n); progress != nil {
			progress(min(now, total), total)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(parallel, 1))
	for _, b := range blobs {
		group.Go(func() error {
			var came int64
			n, err := c.fetch(ctx, b, store, func(n int64) {
				came += n
				tell(n)
			})
			travelled.Add(n)
			if err == nil && came < b.Size {
				// It was there already, or a part of it.
				tell(b.Size - came)
			}
			return err
		})
	}
	err := group.Wait()
	return travelled.Load(), err
}
