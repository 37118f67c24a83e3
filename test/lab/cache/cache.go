// Package cache knows where the lab keeps its builds, its mirror and its labs' states.
package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Dir is the cache's root folder ($LAB_CACHE).
type Dir string

// Build is where the finished build called name is, or will be.
func (d Dir) Build(name string) string { return filepath.Join(string(d), "build", name) }

// Files is the tree that the mirror serves: <upstream host>/<upstream path>.
func (d Dir) Files() string { return filepath.Join(string(d), "mirror", "files") }

// Registry is the mirror's registry storage.
func (d Dir) Registry() string { return filepath.Join(string(d), "mirror", "registry") }

// Marks holds one empty file per finished publication into the mirror.
func (d Dir) Marks() string { return filepath.Join(string(d), "mirror", "done") }

// Logs holds the builds' logs.
func (d Dir) Logs() string { return filepath.Join(string(d), "logs") }

// Labs holds one folder per lab.
func (d Dir) Labs() string { return filepath.Join(string(d), "labs") }

// Lab is the state folder of one lab.
func (d Dir) Lab(name string) string { return filepath.Join(d.Labs(), name) }

// Saves holds one folder per frozen lab.
func (d Dir) Saves() string { return filepath.Join(string(d), "saves") }

// Save is the folder of one frozen lab.
func (d Dir) Save(name string) string { return filepath.Join(d.Saves(), name) }

// DockerLog is the log of a dockerd that the lab started.
func (d Dir) DockerLog() string { return filepath.Join(string(d), "dockerd.log") }

// Key makes a build's folder name of its name, its version and all that its
// recipe consists of, so that a changed recipe is a new build.
func Key(name, version string, recipe ...string) string {
	h := sha256.New()
	for _, r := range append([]string{name, version}, recipe...) {
		// The length keeps ("ab","c") and ("a","bc") apart; a hash never fails to write.
		_, _ = fmt.Fprintf(h, "%d:%s", len(r), r)
	}
	key := name
	if version != "" {
		key += "-" + strings.ReplaceAll(version, "/", "-")
	}
	return key + "-" + hex.EncodeToString(h.Sum(nil))[:10]
}

// Has reports whether the build called key is finished.
func (d Dir) Has(key string) bool {
	_, err := os.Stat(d.Build(key))
	return err == nil
}

// Make runs recipe in a fresh folder and puts it in place as the build called
// key only when the recipe succeeded. What is there already is left alone.
func (d Dir) Make(key string, recipe func(dir string) error) error {
	if d.Has(key) {
		return nil
	}
	tmp := d.Build(key) + ".part"
	if err := RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	if err := recipe(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, d.Build(key))
}

// RemoveAll removes a tree that may hold folders without write permission, as
// Go's module cache does.
func RemoveAll(path string) error {
	err := filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return os.Chmod(p, 0o755)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(path)
}

// Lock takes the cache-wide lock called name, waiting until ctx ends. onWait is
// called once when somebody else has it. The lock ends with the process.
func (d Dir) Lock(ctx context.Context, name string, onWait func()) (unlock func(), err error) {
	if err := os.MkdirAll(string(d), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(string(d), name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for waited := false; ; waited = true {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			// Closing gives the lock back; there is nothing to flush.
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), errors.Join(err, f.Close()))
		}
		if !waited {
			onWait()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %s: %w", f.Name(), errors.Join(ctx.Err(), f.Close()))
		case <-time.After(200 * time.Millisecond):
		}
	}
}
