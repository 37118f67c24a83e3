package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"crypto/sha256"

	"github.com/opencontainers/go-digest"
)

// errDigest is wrapped by every refusal of content that is not what its digest
// or size says. Trying the same source again does not help.
var errDigest = errors.New("content does not match its digest")

// ErrMissing is wrapped when a blob is not there.
var ErrMissing = errors.New("no such blob")

// Upstream gives blobs by digest: a bundle, a store, another host. The reader
// is not verified; whoever keeps a blob checks it. The size may be -1 when it
// is not known. A blob that is not there is an error that wraps ErrMissing.
type Upstream interface {
	Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error)
}

// Store is a directory of blobs, blobs/sha256/<hex>. A blob under its final
// name was complete and right when it was put there. Several processes may use
// one store.
type Store struct{ dir string }

// OpenStore names a store; its directories are made when the first blob comes.
func OpenStore(dir string) *Store { return &Store{dir: dir} }

// Dir is the store's directory.
func (s *Store) Dir() string { return s.dir }

// Path is where a blob is, or would be. The digest must be valid.
func (s *Store) Path(d digest.Digest) string {
	return filepath.Join(s.dir, "blobs", d.Algorithm().String(), d.Encoded())
}

// Has tells whether the blob is there with the right size. Its content is not
// read; see Verify.
func (s *Store) Has(b Blob) bool {
	if checkDigest(b.Digest) != nil {
		return false
	}
	info, err := os.Stat(s.Path(b.Digest))
	return err == nil && info.Mode().IsRegular() && info.Size() == b.Size
}

// Open opens a blob for reading from any position.
func (s *Store) Open(d digest.Digest) (*os.File, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	f, err := os.Open(s.Path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s in %s: %w", d, s.dir, ErrMissing)
	}
	return f, err
}

// Blob makes a Store an Upstream.
func (s *Store) Blob(_ context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	f, err := s.Open(d)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// Verify reads a blob and compares its digest; a blob that fails is removed, so
// that it can be fetched again.
func (s *Store) Verify(ctx context.Context, d digest.Digest) error {
	f, err := s.Open(d)
	if err != nil {
		return err
	}
	got, err := hashOf(ctx, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read blob %s in %s: %w", d, s.dir, err)
	}
	if got == d {
		return nil
	}
	return errors.Join(fmt.Errorf("blob %s in %s has become %s: %w", d, s.dir, got, errDigest), s.Remove(d))
}

// Remove removes a blob; one that is not there is no error.
func (s *Store) Remove(d digest.Digest) error {
	if err := checkDigest(d); err != nil {
		return err
	}
	if err := os.Remove(s.Path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Put stores what r holds under the given digest, when that is what it is.
func (s *Store) Put(ctx context.Context, b Blob, r io.Reader) error {
	w, err := s.writer(b)
	if err != nil {
		return err
	}
	if err := w.reset(); err != nil {
		return errors.Join(err, w.Discard())
	}
	if _, err := io.Copy(w, &contextReader{ctx: ctx, r: r}); err != nil {
		return errors.Join(fmt.Errorf("store blob %s: %w", b.Digest, err), w.Discard())
	}
	return w.Commit()
}

// putBytes is Put for content that is at hand; nothing is written when it is there.
func (s *Store) putBytes(ctx context.Context, b Blob, content []byte) error {
	if s.Has(b) && s.Verify(ctx, b.Digest) == nil {
		return nil
	}
	return s.Put(ctx, b, bytes.NewReader(content))
}

// putUnknown stores what write produces under whatever digest it turns out to
// have.
func (s *Store) putUnknown(write func(io.Writer) error) (Blob, error) {
	f, err := s.temp("new-*")
	if err != nil {
		return Blob{}, err
	}
	h := &counter{hash: sha256.New(), w: f}
	err = write(h)
	if err = errors.Join(err, f.Close()); err != nil {
		return Blob{}, errors.Join(err, os.Remove(f.Name()))
	}
	b := Blob{Digest: digest.NewDigest(digest.SHA256, h.hash), Size: h.n}
	if err := s.publish(f.Name(), b.Digest); err != nil {
		return Blob{}, errors.Join(err, os.Remove(f.Name()))
	}
	return b, nil
}

// publish gives a finished temporary file its final name.
func (s *Store) publish(temp string, d digest.Digest) error {
	final := s.Path(d)
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return err
	}
	return os.Rename(temp, final)
}

func (s *Store) ingestDir() string { return filepath.Join(s.dir, "ingest") }

func (s *Store) temp(pattern string) (*os.File, error) {
	if err := os.MkdirAll(s.ingestDir(), 0o755); err != nil {
		return nil, err
	}
	return os.CreateTemp(s.ingestDir(), pattern)
}

// checkDigest accepts well-formed sha256 digests only: they become file names.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %.100q: %w", string(d), err)
	}
	if d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %.100q: only sha256 is known", string(d))
	}
	return nil
}

func hashOf(ctx context.Context, r io.Reader) (digest.Digest, error) {
	return digest.SHA256.FromReader(&contextReader{ctx: ctx, r: r})
}

// contextReader ends a copy when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// counter hashes and counts what it passes on.
type counter struct {
	hash hash.Hash
	w    io.Writer
	n    int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	// A hash's Write never fails.
	_, _ = c.hash.Write(p[:n])
	c.n += int64(n)
	return n, err
}
