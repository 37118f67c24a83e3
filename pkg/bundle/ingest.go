package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// blobWriter takes one blob in, hashing as it arrives. What was written stays
// in the store's ingest directory until Commit or Discard, so that a later
// writer, also of another process, can go on where this one was cut off.
type blobWriter struct {
	store   *Store
	blob    Blob
	file    *os.File
	hash    hash.Hash
	written int64
	// private says that the file is nobody else's, and of no use once closed.
	private bool
	closed  bool
}

// writer begins or resumes taking in a blob. Size -1 means not known. When
// somebody else is taking in the same blob this one starts a file of its own.
func (s *Store) writer(b Blob) (*blobWriter, error) {
	if err := checkDigest(b.Digest); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.ingestDir(), 0o755); err != nil {
		return nil, err
	}
	f, private, err := s.partial(b.Digest)
	if err != nil {
		return nil, err
	}
	w := &blobWriter{store: s, blob: b, file: f, hash: sha256.New(), private: private}
	n, err := io.Copy(w.hash, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w.written = n
	if b.Size >= 0 && n > b.Size {
		if err := w.reset(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return w, nil
}

// partial opens the file that a blob arrives in, locked against a second writer.
func (s *Store) partial(d digest.Digest) (f *os.File, private bool, err error) {
	f, err = os.OpenFile(filepath.Join(s.ingestDir(), d.Encoded()), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, false, err
	}
	locked, err := TryLock(f)
	if err == nil && locked && stillNamed(f) {
		return f, false, nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, false, err
	}
	f, err = s.temp(d.Encoded() + "-*")
	return f, true, err
}

// stillNamed tells whether the file is still the one of its name: its last
// writer may have finished and renamed it between our open and our lock.
func stillNamed(f *os.File) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(ours, named)
}

// Offset is how many bytes are there.
func (w *blobWriter) Offset() int64 { return w.written }

func (w *blobWriter) Write(p []byte) (int, error) {
	if w.blob.Size >= 0 && w.Offset()+int64(len(p)) > w.blob.Size {
		return 0, fmt.Errorf("blob %s is longer than its %d bytes: %w", w.blob.Digest, w.blob.Size, errDigest)
	}
	n, err := w.file.Write(p)
	// A hash's Write never fails.
	_, _ = w.hash.Write(p[:n])
	w.written += int64(n)
	return n, err
}

// reset starts over with nothing.
func (w *blobWriter) reset() error {
	w.hash.Reset()
	w.written = 0
	if err := w.file.Truncate(0); err != nil {
		return err
	}
	_, err := w.file.Seek(0, io.SeekStart)
	return err
}

// sum is the digest of what is there so far.
func (w *blobWriter) sum() digest.Digest {
	return digest.NewDigest(digest.SHA256, w.hash)
}

// Commit checks size and digest and gives the blob its name. Wrong content is
// thrown away. The writer is closed either way.
func (w *blobWriter) Commit() error {
	n := w.Offset()
	if w.blob.Size >= 0 && n < w.blob.Size {
		return errors.Join(fmt.Errorf("blob %s: %d of %d bytes came: %w", w.blob.Digest, n, w.blob.Size, io.ErrUnexpectedEOF), w.Close())
	}
	if got := w.sum(); got != w.blob.Digest {
		return errors.Join(fmt.Errorf("blob %s turned out to be %s: %w", w.blob.Digest, got, errDigest), w.Discard())
	}
	if err := w.file.Chmod(0o644); err != nil {
		return errors.Join(err, w.Close())
	}
	// The name is given before the lock goes with the file's closing.
	err := w.store.publish(w.file.Name(), w.blob.Digest)
	if err != nil {
		return errors.Join(err, w.Discard())
	}
	return w.close()
}

// Close keeps what came for a later writer, unless nobody would find it.
func (w *blobWriter) Close() error {
	if w.private {
		return w.Discard()
	}
	return w.close()
}

// Discard removes what came.
func (w *blobWriter) Discard() error {
	if w.closed {
		return nil
	}
	return errors.Join(os.Remove(w.file.Name()), w.close())
}

func (w *blobWriter) close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.file.Close()
}

// abandon ends a writer whose source failed: what came is kept when going on
// with it may help, and removed when it is wrong or when the disk is full.
func (w *blobWriter) abandon(why error) error {
	if errors.Is(why, errDigest) || errors.Is(why, syscall.ENOSPC) {
		return w.Discard()
	}
	return w.Close()
}
