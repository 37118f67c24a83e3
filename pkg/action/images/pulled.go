package images

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// pulledImages is the directory of images that were pulled for one push: they are
// kept until it has ended well, so that the same command goes on with what came,
// and are of no use after that.
type pulledImages struct {
	dir  string
	lock *os.File
	// private says that the directory is of this process alone, since another one
	// has that of the name.
	private bool
}

// takePulledImages takes the directory of that name below the cache, or a new one
// while another process uses it.
func takePulledImages(cache, name string) (*pulledImages, error) {
	p := &pulledImages{dir: filepath.Join(cache, name)}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.Open(p.dir)
	if err != nil {
		return nil, err
	}
	mine, err := bundle.TryLock(lock)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", p.dir, err), lock.Close())
	}
	if mine && sameDir(lock, p.dir) {
		p.lock = lock
		return p, nil
	}
	if err := lock.Close(); err != nil {
		return nil, err
	}
	p.private = true
	p.dir, err = os.MkdirTemp(cache, name+"-*")
	return p, err
}

// sameDir tells whether the directory is still the one of its name: whoever had it
// may have removed it between our open and our lock.
func sameDir(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(ours, named)
}

func (p *pulledImages) bundle() string { return filepath.Join(p.dir, "images.tar") }

func (p *pulledImages) work() string { return filepath.Join(p.dir, "work") }

// end lets go of the directory, and removes it when it has served. Without one it
// does nothing.
func (p *pulledImages) end(served bool) error {
	if p == nil {
		return nil
	}
	var err error
	if served || p.private {
		err = os.RemoveAll(p.dir)
	}
	if p.lock != nil {
		err = errors.Join(err, p.lock.Close())
	}
	return err
}
