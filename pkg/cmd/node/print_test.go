package node

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestPrintedWhereOthersRead: a script with a token and keys goes into no file that others may read.
func TestPrintedWhereOthersRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o700: false, 0o640: true, 0o604: true, 0o644: true} {
		f, err := os.Create(filepath.Join(t.TempDir(), "add.sh"))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Chmod(mode); err != nil {
			t.Fatal(err)
		}
		err = refuseReadable(f)
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "umask 077") {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close(); _ = w.Close() }()
	if err := refuseReadable(w); err != nil {
		t.Errorf("a pipe: %v", err)
	}
	if err := refuseReadable(&bytes.Buffer{}); err != nil {
		t.Errorf("no file at all: %v", err)
	}
}
