package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A tree that is reached through a link is removed up to what is mounted in it: another file
// system, and a part of the same one, of which only the kernel knows that it is a mount.
func TestRemoveTreeStopsAtMounts(t *testing.T) {
	for _, name := range []string{"file system", "bind mount"} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			data, elsewhere := filepath.Join(base, "data"), filepath.Join(base, "elsewhere")
			volume := filepath.Join(data, "state/backups/volume")
			for _, dir := range []string{volume, elsewhere} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if name == "bind mount" {
				err = unix.Mount(elsewhere, volume, "", unix.MS_BIND, "")
			} else {
				err = unix.Mount("tmpfs", volume, "tmpfs", 0, "size=1m")
			}
			if err != nil {
				t.Skipf("nothing can be mounted here: %v", err)
			}
			mounted := true
			t.Cleanup(func() {
				if mounted {
					if err := unix.Unmount(volume, unix.MNT_DETACH); err != nil {
						t.Error(err)
					}
				}
			})
			precious := filepath.Join(volume, "precious")
			if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			// The state directory is reached through a link, as where /var/lib is one.
			link := filepath.Join(base, "link")
			if err := os.Symlink(data, link); err != nil {
				t.Fatal(err)
			}
			err = removeAll(filepath.Join(link, "state"))
			if err == nil || !strings.Contains(err.Error(), "backups/volume is not removed: something is mounted there") || Hint(err) == "" {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(precious); err != nil {
				t.Errorf("what is mounted: %v", err)
			}
			if err := unix.Unmount(volume, 0); err != nil {
				t.Fatal(err)
			}
			mounted = false
			if err := removeAll(filepath.Join(link, "state")); err != nil {
				t.Error(err)
			}
			if entries, err := os.ReadDir(data); err != nil || len(entries) > 0 {
				t.Errorf("left are %v, %v", entries, err)
			}
			if err := removeAll(filepath.Join(link, "state")); err != nil {
				t.Errorf("a second time: %v", err)
			}
			// The link itself goes, and not what it leads to.
			if err := removeAll(link); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(data); err != nil {
				t.Error(err)
			}
		})
	}
}

// Mounts are found where the links on the way to a directory lead.
func TestMountsBelowALink(t *testing.T) {
	base := t.TempDir()
	real := filepath.Join(base, "real/lib/pods")
	if err := os.MkdirAll(real, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(base, "real"), filepath.Join(base, "var")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", real, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(real, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	h, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.MountsBelow(filepath.Join(base, "var/lib"))
	if err != nil || len(got) != 1 || got[0] != real {
		t.Errorf("%v, %v", got, err)
	}
}
