package store

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// partial ends the name of what is being written. No object is called so.
const partial = ".partial"

// partialOf is the name of an object while it is written. It is another one each time: of two that
// write the same object neither writes into what the other one has.
func partialOf(name string) string { return name + "." + rand.Text()[:8] + partial }

// folder is a directory of this machine, which somebody may have mounted from elsewhere.
type folder struct {
	root  string
	limit *rate.Limiter
}

func (f *folder) at(name string) string { return filepath.Join(f.root, filepath.FromSlash(name)) }

func (f *folder) Put(ctx context.Context, name string, r io.Reader) (err error) {
	if err := checkName(name); err != nil {
		return err
	}
	// The folder itself is not made: what is to be mounted there may be missing.
	if _, err := os.Stat(f.root); err != nil {
		return err
	}
	to := f.at(name)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	half := partialOf(to)
	out, err := os.OpenFile(half, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, &paced{ctx, r, f.limit}, make([]byte, 1<<20))
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(half, to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(half))
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f *folder) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	in, err := os.Open(f.at(name))
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{&paced{ctx, in, f.limit}, in}, nil
}

func (f *folder) Stat(_ context.Context, name string) (Object, error) {
	info, err := os.Stat(f.at(name))
	if err != nil {
		return Object{}, err
	}
	return Object{Name: name, Bytes: info.Size(), Modified: info.ModTime()}, nil
}

func (f *folder) List(ctx context.Context, prefix string) ([]Object, error) {
	return f.walk(ctx, prefix, func(name string) bool { return !strings.HasSuffix(name, partial) })
}

func (f *folder) walk(ctx context.Context, prefix string, want func(name string) bool) ([]Object, error) {
	var out []Object
	err := filepath.WalkDir(f.root, func(at string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(f.root, at)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if !strings.HasPrefix(name, prefix) || !want(name) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out = append(out, Object{Name: name, Bytes: info.Size(), Modified: info.ModTime()})
		return nil
	})
	slices.SortFunc(out, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

func (f *folder) Delete(_ context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := os.Remove(f.at(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The directory goes with its last object; one that is not empty stays.
	_ = os.Remove(filepath.Dir(f.at(name)))
	return nil
}

func (f *folder) Tidy(ctx context.Context, prefix string, since time.Time) error {
	left, err := f.walk(ctx, prefix, func(name string) bool { return strings.HasSuffix(name, partial) })
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range left {
		if o.Modified.Before(since) {
			errs = append(errs, f.Delete(ctx, o.Name))
		}
	}
	return errors.Join(errs...)
}

func (f *folder) Close() error { return nil }
