package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// TestTryProgramsForReal asks the kernel: a program is put onto real file systems.
func TestTryProgramsForReal(t *testing.T) {
	for name, c := range map[string]struct {
		flags uintptr
		want  string
	}{
		"as usual":       {0, ""},
		"mounted noexec": {unix.MS_NOEXEC, "a program there can't be started"},
		"read-only":      {unix.MS_RDONLY, "read-only file system"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("tmpfs", dir, "tmpfs", c.flags, "size=1m"); err != nil {
				t.Skipf("a file system can't be mounted here: %v", err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			h, err := host.Open(host.Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = h.TryPrograms(t.Context(), filepath.Join(dir, "a/b"))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
