package swarm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// Blob wants a blob, waits until it is complete, and opens it after its whole
// digest was checked. A blob that is not in the parcel is an error that wraps
// bundle.ErrMissing; on a full disk the error wraps syscall.ENOSPC. The reader
// is an io.ReaderAt too.
func (p *Peer) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	if err := checkDigest(d); err != nil {
		return nil, 0, err
	}
	p.Want(d)
	for {
		n, err := p.awaitBlob(ctx, d)
		if err != nil {
			return nil, 0, fmt.Errorf("blob %s: %w", d, err)
		}
		content, err := p.openBlob(ctx, n)
		if err == nil {
			err = p.verify(ctx, n, content)
			if err == nil {
				return struct {
					*io.SectionReader
					io.Closer
				}{io.NewSectionReader(content, 0, content.Size()), content}, content.Size(), nil
			}
			err = errors.Join(err, content.Close())
		}
		if ctx.Err() != nil {
			return nil, 0, fmt.Errorf("blob %s: %w", d, ctx.Err())
		}
		// What was there is no longer right: it is fetched again, unless the pieces
		// are what the parcel says.
		if err := p.recheck(ctx, n, err); err != nil {
			return nil, 0, fmt.Errorf("blob %s: %w", d, err)
		}
	}
}

// awaitBlob waits until all pieces of a blob are there.
func (p *Peer) awaitBlob(ctx context.Context, d digest.Digest) (blob int, err error) {
	err = p.await(ctx, func() (bool, error) {
		if p.layout == nil {
			return false, p.failed
		}
		n, ok := p.layout.byDigest[d]
		if !ok {
			return false, fmt.Errorf("it is not in the parcel: %w", bundle.ErrMissing)
		}
		blob = n
		if p.layout.whole(n, p.have) {
			return true, nil
		}
		return false, p.failed
	})
	return blob, err
}

// openBlob opens a blob where it is.
func (p *Peer) openBlob(ctx context.Context, blob int) (Content, error) {
	p.mu.Lock()
	l, local := p.layout, p.local[blob]
	p.mu.Unlock()
	b := l.parcel.Blobs[blob]
	if local {
		return p.openLocal(ctx, b.Blob)
	}
	f, err := p.stage.open(b.Digest)
	if err != nil {
		return nil, err
	}
	return &staged{ReaderAt: f, Closer: f, size: b.Size}, nil
}

// openLocal opens a blob of Config.Local that has the right size.
func (p *Peer) openLocal(ctx context.Context, b bundle.Blob) (Content, error) {
	content, err := p.cfg.Local.Open(ctx, b.Digest)
	if err != nil {
		return nil, err
	}
	if content.Size() != b.Size {
		return nil, errors.Join(fmt.Errorf("blob %s has %d bytes on this node instead of %d: %w", b.Digest, content.Size(), b.Size, errWrong), content.Close())
	}
	return content, nil
}

// verify reads a blob through, once, and compares its digest.
func (p *Peer) verify(ctx context.Context, blob int, content Content) error {
	p.mu.Lock()
	known, want := p.verified[blob], p.layout.parcel.Blobs[blob].Digest
	p.mu.Unlock()
	if known {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, &contextReader{ctx: ctx, r: io.NewSectionReader(content, 0, content.Size())}); err != nil {
		return err
	}
	if got := digest.NewDigest(digest.SHA256, h); got != want {
		return fmt.Errorf("it turned out to be %s: %w", got, errWrong)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.verified[blob] = true
	return nil
}

// recheck finds out which pieces of a blob are still right, and forgets the
// others. When all are, waiting does not help: why is returned.
func (p *Peer) recheck(ctx context.Context, blob int, why error) error {
	p.mu.Lock()
	l, local := p.layout, p.local[blob]
	p.mu.Unlock()
	right := newBitset(l.pieces())
	if !local {
		if err := p.stage.scan(ctx, l, blob, right.set); err != nil {
			return errors.Join(why, err)
		}
		if l.whole(blob, right) && errors.Is(why, errWrong) {
			return fmt.Errorf("its pieces are what the parcel says, but together they are something else: %w", why)
		}
	}
	p.cfg.Log(fmt.Sprintf("blob %s is no longer right here and is fetched again: %v", l.parcel.Blobs[blob].Digest, why))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(blob, right)
	return nil
}

// forget notes that of a blob only some pieces are there. The lock is held.
func (p *Peer) forget(blob int, right bitset) {
	delete(p.local, blob)
	delete(p.verified, blob)
	for n := p.layout.first[blob]; n < p.layout.first[blob+1]; n++ {
		if !right.has(n) {
			p.have.clear(n)
		}
	}
	// What is missing now has to fit on the disk.
	p.applyWants()
}

// staged is an open file of the stage.
type staged struct {
	io.ReaderAt
	io.Closer
	size int64
}

func (s *staged) Size() int64 { return s.size }

// contextReader ends a copy when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
