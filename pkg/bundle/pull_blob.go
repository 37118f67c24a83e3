package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/pkg/blobinfocache/none"
	"github.com/containers/image/v5/types"
)

// fetch brings one blob of an image into the store, unless it is there or is
// not needed. at, which may be nil, is told how many bytes came of how many.
func (p *puller) fetch(ctx context.Context, source types.ImageSource, info types.BlobInfo, at func(done, total int64)) error {
	if p.elsewhere != nil && p.elsewhere(blobOf(info)) {
		if at != nil {
			at(info.Size, info.Size)
		}
		return nil
	}
	return p.bring(ctx, source, info, at)
}

// bring is fetch for what is needed. What came before a break, of this run or of
// one before it, is kept and gone on with.
func (p *puller) bring(ctx context.Context, source types.ImageSource, info types.BlobInfo, at func(done, total int64)) error {
	blob := blobOf(info)
	if p.store.Has(blob) && p.store.Verify(ctx, blob.Digest) == nil {
		if at != nil {
			at(blob.Size, blob.Size)
		}
		return nil
	}
	w, err := p.store.writer(blob)
	if err != nil {
		return err
	}
	t := &transfer{puller: p, source: source, info: info, w: w, at: at}
	if err := t.fill(ctx); err != nil {
		return errors.Join(fmt.Errorf("blob %s: %w", blob.Digest, err), w.abandon(err))
	}
	return w.Commit()
}

// transfer is a blob on its way from a source into a writer.
type transfer struct {
	puller *puller
	source types.ImageSource
	info   types.BlobInfo
	w      *blobWriter
	at     func(done, total int64)
	// continued says that what is there came in more than one piece, wholeOnly that
	// the registry did not answer to being asked for the rest.
	continued, wholeOnly bool
}

// fill brings the blob to its end. One that was put together of pieces and turns
// out wrong is started over once, since any of them may be the culprit.
func (t *transfer) fill(ctx context.Context) error {
	for {
		err := t.whole(ctx)
		wrong := errors.Is(err, errDigest) || err == nil && t.w.sum() != t.info.Digest
		if !wrong || !t.continued {
			return err
		}
		t.continued = false
		if err := t.w.reset(); err != nil {
			return err
		}
	}
}

func (t *transfer) whole(ctx context.Context) error {
	if t.source.Reference().Transport() != docker.Transport {
		return t.part(ctx)
	}
	return retryMoving(ctx, t.puller.note, t.w.Offset, func() error { return t.part(ctx) })
}

// part does one read from where the writer is.
func (t *transfer) part(ctx context.Context) error {
	if t.w.Offset() == t.info.Size {
		return nil // It is all there; its digest is looked at next.
	}
	t.continued = t.continued || t.w.Offset() > 0
	ctx, watch := watchStall(ctx)
	defer watch.end()
	r, err := t.open(ctx, watch)
	if err != nil {
		return watch.explain(err)
	}
	to := &progressWriter{w: t.w, at: t.w.Offset(), total: t.info.Size, report: t.at}
	_, err = io.Copy(to, watch.reader(&contextReader{ctx: ctx, r: r}))
	if err == nil && t.w.Offset() < t.info.Size {
		err = fmt.Errorf("%d of %d bytes came: %w", t.w.Offset(), t.info.Size, io.ErrUnexpectedEOF)
	}
	if err != nil {
		err = watch.explain(err)
		// Ended first, since a reader of a whole blob is read to its end when closed;
		// that it then says so is no news.
		watch.end()
		_ = r.Close()
		return err
	}
	return r.Close()
}

// open begins to read where the writer is: by asking for the rest, or, when the
// source can't give that, by reading over what is there already.
func (t *transfer) open(ctx context.Context, watch *stallWatch) (io.ReadCloser, error) {
	if t.w.Offset() > 0 && !t.wholeOnly {
		r, from, err := t.puller.restOf(ctx, t.source, t.info, t.w.Offset())
		t.wholeOnly = err != nil && ctx.Err() != nil
		if err == nil {
			return t.skip(ctx, r, t.w.Offset()-from, watch)
		}
		if transient(err) || ctx.Err() != nil {
			return nil, err
		}
	}
	r, _, err := t.source.GetBlob(ctx, t.info, none.NoCache)
	if err != nil {
		return nil, err
	}
	return t.skip(ctx, r, t.w.Offset(), watch)
}

// skip reads over what is there already.
func (t *transfer) skip(ctx context.Context, r io.ReadCloser, n int64, watch *stallWatch) (io.ReadCloser, error) {
	if _, err := io.CopyN(io.Discard, watch.reader(&contextReader{ctx: ctx, r: r}), n); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func blobOf(info types.BlobInfo) Blob {
	return Blob{Digest: info.Digest, Size: info.Size, MediaType: info.MediaType}
}
