package host_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

func TestStreamFile(t *testing.T) {
	full, unreadable := errors.New("no space left"), errors.New("unreadable")
	const path = host.StateDir + "/backups/x/f"
	write := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, writeErr := io.WriteString(w, text)
			return errors.Join(writeErr, err)
		}
	}
	tests := []struct {
		name  string
		fill  func(io.Writer) error
		check error
		want  error
	}{
		{"good", write("new", nil), nil, nil},
		{"filling fails half-way", write("ne", full), nil, full},
		{"the check fails", write("new", nil), unreadable, unreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.New(t, hosttest.NewCommander(t))
			if _, err := h.WriteFile(t.Context(), host.File{Path: path, Mode: 0o600, Content: []byte("old")}); err != nil {
				t.Fatal(err)
			}
			checked := ""
			digest, err := h.StreamFile(t.Context(), host.File{Path: path, Mode: 0o600}, tt.fill, func(p string) error {
				raw, err := os.ReadFile(p)
				checked = string(raw)
				return errors.Join(err, tt.check)
			})
			if !errors.Is(err, tt.want) || (err == nil) != (len(digest) == 64) {
				t.Fatalf("digest %q, error %v", digest, err)
			}
			if tt.name != "filling fails half-way" && checked != "new" {
				t.Errorf("the check saw %q", checked)
			}
			now, err := h.ReadFile(path)
			if err != nil || (string(now) == "new") != (tt.want == nil) || tt.want != nil && string(now) != "old" {
				t.Errorf("there is %q, %v", now, err)
			}
			entries, err := h.ReadDir(filepath.Dir(path))
			if err != nil || len(entries) != 1 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
			info, err := h.Stat(path)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v, %v", info, err)
			}
		})
	}
}

func TestStreamFileRefuses(t *testing.T) {
	h := hosttest.New(t, hosttest.NewCommander(t), hosttest.DryRun)
	never := func(io.Writer) error { t.Error("something was written"); return nil }
	if digest, err := h.StreamFile(t.Context(), host.File{Path: "/a/f", Mode: 0o600}, never, nil); err != nil || digest != "" || len(h.Changes()) == 0 {
		t.Errorf("a dry run: %q, %v, %v", digest, err, h.Changes())
	}
	for _, f := range []host.File{{Path: "a/f", Mode: 0o600}, {Path: "/a/f", Mode: 0o600 | fs.ModeSetuid}} {
		if _, err := h.StreamFile(t.Context(), f, never, nil); err == nil || !strings.Contains(err.Error(), f.Path) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
