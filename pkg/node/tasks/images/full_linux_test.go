package images

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/test/ctrdtest"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// mount makes a small disk.
func mount(t *testing.T, dir, size string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// source is the workstation's bundle, with something that happens on the way.
type source struct {
	bundle.Upstream
	// before is called for each blob, with the bytes of those before.
	before func(served int64) error

	mu     sync.Mutex
	served int64
}

// Blob opens one.
func (s *source) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.before(s.served); err != nil {
		return nil, 0, err
	}
	r, size, err := s.Upstream.Blob(ctx, d)
	s.served += size
	return r, size, err
}

// stagedBytes is what a host has staged of blobs.
func (w *world) stagedBytes(i int) (n int64) {
	list, err := filepath.Glob(filepath.Join(w.tasks[i].env.Host.Path(StagingDir), "[0-9a-f]*"))
	if err != nil {
		w.Fatal(err)
	}
	for _, f := range list {
		if info, err := os.Stat(f); err == nil && !strings.Contains(f, "lock") {
			n += info.Size()
		}
	}
	return n
}

// interrupt runs a host's task until a part has come and been kept, and tells how
// much that is.
func (w *world) interrupt(i int) int64 {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	defer cancel()
	had := make(chan int64, 1)
	one := w.start(ctx, i)
	fed := w.feedFrom(ctx, i, &source{Upstream: w.store, before: func(served int64) error {
		if served < 1<<20 {
			return nil
		}
		had <- served
		<-ctx.Done()
		return ctx.Err()
	}})
	var served int64
	select {
	case served = <-had:
	case got := <-one:
		w.Fatalf("the task has ended: %+v", got)
	case <-time.After(deadline):
		w.Fatal("nothing was asked for")
	}
	if !poll.Until(deadline, func() bool { return w.stagedBytes(i) >= served }) {
		w.Fatalf("%d of %d bytes were kept", w.stagedBytes(i), served)
	}
	cancel()
	if got := w.await(one); !errors.Is(got.err, context.Canceled) {
		w.Errorf("the interrupted one: %v", got.err)
	}
	<-fed
	return served
}

// TestRunInterrupted ends a task in the middle: the next one goes on with what came,
// also on a disk that would not have room for all of it again.
func TestRunInterrupted(t *testing.T) {
	for _, tight := range []bool{false, true} {
		t.Run(map[bool]string{false: "plenty of room", true: "a tight disk"}[tight], func(t *testing.T) {
			w := newWorld(t, 1)
			if tight {
				// 12 MiB of images, and a tenth.
				mount(t, w.tasks[0].env.Host.Path(host.StateDir), "14m")
			}
			served := w.interrupt(0)
			one := w.start(t.Context(), 0)
			w.feed(t.Context(), 0)
			got := w.await(one)
			if got.err != nil || !w.has(0, w.images[0]) || !w.has(0, w.images[1]) || w.staged(0) {
				t.Errorf("the next one: %+v", got)
			}
			if most := w.parcel.Size() - served + little; got.data.FromFeed > most {
				t.Errorf("%d bytes came again from the workstation, of %d at most", got.data.FromFeed, most)
			}
		})
	}
}

// TestRunNoRoom: a disk that others have filled keeps what an earlier run brought.
func TestRunNoRoom(t *testing.T) {
	w := newWorld(t, 1)
	dir := w.tasks[0].env.Host.Path(host.StateDir)
	mount(t, dir, "14m")
	served := w.interrupt(0)
	fill(t, dir, 1<<20)
	one := w.start(t.Context(), 0)
	w.feed(t.Context(), 0)
	if got := w.await(one); !errors.Is(got.err, errNoRoom) || !strings.Contains(host.Hint(got.err), "make room") {
		t.Errorf("got %+v, %q", got, host.Hint(got.err))
	}
	if kept := w.stagedBytes(0); kept < served {
		t.Errorf("%d of %d bytes are kept", kept, served)
	}
}

// fill writes a file until only so many bytes are free.
func fill(t *testing.T, dir string, leave int64) {
	t.Helper()
	_, _, free, err := room(dir)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "filler"), make([]byte, max(0, free-leave)), 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestRunImportFullDisk: containerd's disk fills up while it takes an image. It cleans
// up, so that there is room again for a part; the hint tells all the same.
func TestRunImportFullDisk(t *testing.T) {
	w := newWorld(t, 1)
	disk := t.TempDir()
	mount(t, disk, "128m")
	w.tasks[0].socket = func() string {
		t.Setenv("TMPDIR", disk)
		return ctrdtest.Daemon(t)
	}()
	t.Setenv("TMPDIR", "")
	w.only(ctrdtest.Image(t, w.store, "example.com/large:1", strings.Repeat("large", 8<<20)))
	var once sync.Once
	one := w.start(t.Context(), 0)
	w.feedFrom(t.Context(), 0, &source{Upstream: w.store, before: func(int64) error {
		once.Do(func() { fill(t, disk, full+4<<20) })
		return nil
	}})
	got := w.await(one)
	if !errors.Is(got.err, errImport) || errors.Is(got.err, errNoRoom) || !strings.Contains(host.Hint(got.err), "make room") {
		t.Errorf("got %+v, %q", got, host.Hint(got.err))
	}
	if w.staged(0) {
		t.Error("something is left in the staging directory")
	}
}

// TestPruneStaged removes what a push that was broken off has left.
func TestPruneStaged(t *testing.T) {
	w := newWorld(t, 1)
	w.interrupt(0)
	if !w.staged(0) {
		t.Fatal("nothing was left")
	}
	if exists, err := w.tasks[0].env.Host.Exists(FeedDir); exists || err != nil {
		t.Errorf("%s is left: %v", FeedDir, err)
	}
	if err := dropStaged(t.Context(), w.tasks[0].env.Host); err != nil || w.staged(0) {
		t.Errorf("it stays: %v", err)
	}
}

// A disk that can't be written to is told what to do about, by its reason.
func TestExplainDisk(t *testing.T) {
	h, err := host.Open(host.Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	one := &task{env: node.Env{Host: h}}
	for errno, want := range map[syscall.Errno]string{
		syscall.ENOSPC: "make room", syscall.EDQUOT: "make room", syscall.EROFS: "read-only", syscall.EIO: "",
	} {
		err := one.explain(&os.PathError{Op: "write", Path: "x", Err: errno})
		if got := host.Hint(err); !errors.Is(err, errno) || !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%v: %q", errno, got)
		}
		if full := one.diskFull(err); full != (want == "make room") {
			t.Errorf("%v: full is %v", errno, full)
		}
	}
}
