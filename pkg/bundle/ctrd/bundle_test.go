package ctrd

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// maxMemory is what importing may take, in kB, whatever the bundle's size.
const maxMemory = 150 << 10

// TestWholeBundle takes the bundle that BUNDLE names from its file into the
// containerd that CONTAINERD names.
func TestWholeBundle(t *testing.T) {
	path := os.Getenv("BUNDLE")
	if path == "" {
		t.Skip("BUNDLE names no bundle to test with")
	}
	socket := daemon(t)
	b, err := bundle.Open(path)
	must(t, err)
	defer func() { must(t, b.Close()) }()
	contents := b.Contents().For([]v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleEtcd})
	began := time.Now()
	imported, err := ImportImages(t.Context(), socket, contents.Images, b,
		ImportOptions{Pinned: []string{contents.PauseImage()}}, nil)
	must(t, err)
	if imported != len(contents.Images) {
		t.Errorf("%d of %d images were imported", imported, len(contents.Images))
	}
	t.Logf("imported in %s", time.Since(began))
	began = time.Now()
	if again, err := ImportImages(t.Context(), socket, contents.Images, b, ImportOptions{}, nil); again != 0 || err != nil {
		t.Errorf("a second import did %d: %v", again, err)
	}
	t.Logf("imported again in %s", time.Since(began))
	ctx2, look := connected(t, socket)
	for _, i := range contents.Images {
		checkImported(ctx2, t, look, i)
	}
	if kb := peakMemory(t); kb > maxMemory {
		t.Errorf("peak memory %d kB, at most %d are allowed", kb, maxMemory)
	}
}

// peakMemory is this process's largest resident size, in kB.
func peakMemory(t *testing.T) (kb int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			for _, c := range strings.TrimSpace(rest) {
				if c < '0' || c > '9' {
					break
				}
				kb = kb*10 + int(c-'0')
			}
		}
	}
	t.Logf("peak memory %d kB", kb)
	return kb
}
