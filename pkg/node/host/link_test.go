package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestLinkFile: a program has a second name without a copy; that name keeps the old
// content when the program is replaced, and whatever fails on the way leaves no rest.
func TestLinkFile(t *testing.T) {
	root := t.TempDir()
	ledger, err := OpenLedger(root, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := ledger.Close(); err != nil {
			t.Error(err)
		}
	}()
	h, err := Open(Options{Root: root, Ledger: ledger})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	content := []byte("a program")
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	program := File{Path: "/bin/p", Mode: 0o755, UID: os.Getuid(), GID: os.Getgid(), Content: content}
	if _, err := h.WriteFile(ctx, program); err != nil {
		t.Fatal(err)
	}
	second := File{Path: "/kept/p", Mode: 0o755, UID: os.Getuid(), GID: os.Getgid()}
	for _, step := range []string{"rename", "sync-dir"} {
		broken := errors.New("broken")
		h.beforeStep = func(path, s string) error {
			if path == second.Path && s == step {
				return broken
			}
			return nil
		}
		if _, err := h.LinkFile(ctx, second, program.Path, digest); !errors.Is(err, broken) {
			t.Errorf("%s: %v, want the injected failure", step, err)
		}
		if rest, err := filepath.Glob(h.Path("/kept") + "/.*"); err != nil || len(rest) != 0 {
			t.Errorf("%s left behind: %v %v", step, rest, err)
		}
	}
	h.beforeStep = nil
	if err := os.Remove(h.Path(second.Path)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if changed, err := h.LinkFile(ctx, second, program.Path, digest); err != nil || changed != want {
			t.Errorf("changed %v, want %v; %v", changed, want, err)
		}
	}
	one, err1 := os.Stat(h.Path(program.Path))
	two, err2 := os.Stat(h.Path(second.Path))
	if err := errors.Join(err1, err2); err != nil || !os.SameFile(one, two) {
		t.Errorf("it was copied: %v", err)
	}
	program.Content = []byte("a newer one")
	if _, err := h.WriteFile(ctx, program); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(h.Path(second.Path)); err != nil || string(got) != string(content) {
		t.Errorf("after its replacement: %q, %v", got, err)
	}
	if _, err := h.LinkFile(ctx, second, "/bin/none", digest[:60]+"0000"); err == nil {
		t.Error("what is not there was linked")
	}
}
