package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestWriteFileFailsWhole injects a failure before each step of replacing a
// file: what is there is either the old file or the new one, and no rest.
func TestWriteFileFailsWhole(t *testing.T) {
	for _, step := range []string{"open", "write", "chown", "chmod", "sync", "close", "rename", "sync-dir"} {
		t.Run(step, func(t *testing.T) {
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
			if err := os.MkdirAll(h.Path("/etc"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(h.Path("/etc/f"), []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			f := File{Path: "/etc/f", Mode: 0o600, Content: []byte("new")}
			broken := errors.New("broken")
			h.beforeStep = func(path, s string) error {
				if path == f.Path && s == step {
					return broken
				}
				return nil
			}
			if _, err := h.WriteFile(context.Background(), f); !errors.Is(err, broken) {
				t.Fatalf("got %v, want the injected failure", err)
			}
			want := "old"
			if step == "sync-dir" {
				want = "new"
			}
			if got, err := os.ReadFile(h.Path("/etc/f")); err != nil || string(got) != want {
				t.Errorf("content %q %v, want %q", got, err, want)
			}
			rest, err := filepath.Glob(h.Path("/etc") + "/.*")
			if err != nil || len(rest) != 0 {
				t.Errorf("left behind: %v %v", rest, err)
			}
			h.beforeStep = nil
			if _, err := h.WriteFile(context.Background(), f); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(h.Path("/etc/f")); err != nil || string(got) != "new" {
				t.Errorf("the second try: %q %v", got, err)
			}
		})
	}
}
