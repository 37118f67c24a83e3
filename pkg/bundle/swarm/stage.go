package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
)

// stage is the directory in which pieces are put together: one file per blob,
// named by its digest, each piece at its place.
type stage struct {
	dir  string
	lock *os.File
}

// ErrInUse is wrapped when another process uses a staging directory.
var ErrInUse = errors.New("another process uses it")

// openStage makes the directory and locks it.
func openStage(dir string) (*stage, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("staging directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("staging directory: %w", err)
	}
	ok, err := bundle.TryLock(lock)
	if err == nil && !ok {
		err = fmt.Errorf("%w; wait for it, or end it", ErrInUse)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("staging directory %s: %w", dir, err), lock.Close())
	}
	return &stage{dir: dir, lock: lock}, nil
}

func (s *stage) close() error { return s.lock.Close() }

// path is where a blob is staged. Only digests that checkDigest has accepted
// come here.
func (s *stage) path(d digest.Digest) string { return filepath.Join(s.dir, d.Encoded()) }

// open opens what is there of a blob.
func (s *stage) open(d digest.Digest) (*os.File, error) {
	f, err := os.Open(s.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s in %s: %w", d, s.dir, bundle.ErrMissing)
	}
	return f, err
}

// write puts a piece to its place.
func (s *stage) write(d digest.Digest, offset int64, data []byte) error {
	f, err := os.OpenFile(s.path(d), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return s.explain(err, int64(len(data)))
	}
	_, err = f.WriteAt(data, offset)
	return s.explain(errors.Join(err, f.Close()), int64(len(data)))
}

// explain adds to the news of a full disk how full it is. A quota that is used up is
// a full disk.
func (s *stage) explain(err error, need int64) error {
	if errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w: %d bytes are to be written in %s; make room in its quota, or raise that, and try again", syscall.ENOSPC, err, need, s.dir)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	free, failed := freeBytes(s.dir)
	if failed != nil {
		return errors.Join(err, failed)
	}
	return fmt.Errorf("%w: %d bytes are to be written and %d are free in %s; make room there and try again", err, need, free, s.dir)
}

// room makes sure that so many bytes fit, with a tenth to spare. The error wraps
// syscall.ENOSPC.
func (s *stage) room(missing int64) error {
	if missing <= 0 {
		return nil
	}
	free, err := freeBytes(s.dir)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("free space in %s: %w", s.dir, err)
	}
	if need := missing + missing/10; free < need {
		return fmt.Errorf("%w: %d bytes are needed (what is missing and a tenth) and %d are free in %s; make room there and try again",
			syscall.ENOSPC, need, free, s.dir)
	}
	return nil
}

func (s *stage) remove(d digest.Digest) error {
	if err := os.Remove(s.path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// scan reads what an earlier run left of a blob and tells which pieces are
// right. Only what their sums say counts.
func (s *stage) scan(ctx context.Context, l *layout, blob int, right func(piece int)) error {
	b := l.parcel.Blobs[blob]
	f, err := s.open(b.Digest)
	if errors.Is(err, bundle.ErrMissing) {
		return nil
	}
	if err != nil {
		return err
	}
	// It is only read.
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", f.Name())
	}
	if info.Size() > b.Size {
		return s.remove(b.Digest)
	}
	return sumRight(ctx, l, blob, io.NewSectionReader(f, 0, info.Size()), right)
}

// sumRight reads a blob or its beginning and tells which pieces are right.
func sumRight(ctx context.Context, l *layout, blob int, r io.Reader, right func(piece int)) error {
	buffer := make([]byte, min(l.parcel.PieceSize, l.parcel.Blobs[blob].Size))
	for piece := l.first[blob]; piece < l.first[blob+1]; piece++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		data := buffer[:l.size(piece)]
		if _, err := io.ReadFull(r, data); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
		if l.right(piece, data) {
			right(piece)
		}
	}
	return nil
}

// parcelPath is where the parcel itself is kept.
func (s *stage) parcelPath(b bundle.Blob) string {
	return filepath.Join(s.dir, "parcel-"+b.Digest.Encoded())
}

// keepParcel keeps the parcel for the next run.
func (s *stage) keepParcel(b bundle.Blob, data []byte) error {
	if err := localfile.Write(s.parcelPath(b), data, 0o600); err != nil {
		return s.explain(err, int64(len(data)))
	}
	return nil
}

// keptParcel is what keepParcel kept, unless it has another size.
func (s *stage) keptParcel(b bundle.Blob) ([]byte, error) {
	info, err := os.Stat(s.parcelPath(b))
	if err != nil {
		return nil, err
	}
	if info.Size() != b.Size {
		return nil, fmt.Errorf("%s: %w", s.parcelPath(b), errWrong)
	}
	return os.ReadFile(s.parcelPath(b))
}
