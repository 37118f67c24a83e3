package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// A full disk takes a part of a line. What is written once there is room again is a line of
// its own, in the same process and after it.
func TestLedgerOnAFullDisk(t *testing.T) {
	root := t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("a file system can't be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	l, err := host.OpenLedger(root, "red")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.DoneWith("first", "a"); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(root, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	// A page stays, since tmpfs gives room by the page: a part of the line goes in.
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Truncate(info.Size()-4096), f.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, host.StateDir, "ledger.jsonl")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 3*4096)
	if err := l.DoneWith("second", long); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a line longer than what is free: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("a part of the line stayed: %v, %d bytes after %d", err, len(after), len(before))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.DoneWith("third", "c"), l.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := host.ReadLedger(root)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(again.DoneTasks(), " "); got != "first third" || len(again.BadLines()) != 0 {
		t.Errorf("%s, %v", got, again.BadLines())
	}
}
