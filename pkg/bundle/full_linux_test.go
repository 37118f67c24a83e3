package bundle

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A full disk is an error that says so, at once, and leaves nothing half-written.
func TestFetchOntoAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small file system can't be mounted here: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	upstream, blobs := newUpstream(noise(1, 1<<20))
	store := OpenStore(dir)
	_, err := clientFor(t, serving(t, OpenStore(t.TempDir()), upstream)).Fetch(t.Context(), blobs[0], store)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	left, err := os.ReadDir(store.ingestDir())
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
