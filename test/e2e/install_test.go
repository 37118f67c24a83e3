//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// TestInstall does what krew does with a release: it takes the archive that the
// manifest names for this platform, checks its sum, unpacks it, and links the program
// as kubectl-ha on the PATH.
func TestInstall(t *testing.T) {
	dir := t.TempDir()
	dist := filepath.Join(dir, "dist")
	tags := "containers_image_openpgp,containers_image_docker_daemon_stub,containers_image_storage_stub,exclude_graphdriver_btrfs"
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	made, err := command(ctx, suite.root, nil, "env", "CGO_ENABLED=0", "go", "run", "./hack/dist", "-version", "v0.0.1", "-commit", "0", "-tags", tags, "-platforms", "linux/amd64", "-out", dist)
	if err != nil || made.code != 0 {
		t.Fatalf("dist: %v %s", err, made)
	}
	archive := checkedArchive(t, dist)
	store := filepath.Join(dir, "store")
	for name, content := range unpack(t, archive) {
		if err := os.MkdirAll(store, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(store, name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	kubectl, err := filepath.EvalSymlinks(kubectlPath(t))
	if err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"kubectl-ha": filepath.Join(store, "kubectl-ha"), "kubectl_complete-ha": filepath.Join(store, "kubectl_complete-ha"), "kubectl": kubectl} {
		if err := os.Symlink(target, filepath.Join(bin, link)); err != nil {
			t.Fatal(err)
		}
	}
	checkStart(ctx, t, filepath.Join(bin, "kubectl-ha"))
	path := "PATH=" + bin + ":/usr/bin:/bin"
	for _, c := range []struct{ args, want string }{
		{"ha version", "v0.0.1"},
		{"plugin list", "kubectl-ha"},
		{"__complete ha sta", "status"},
		{"__complete ha upgrade pl", "plan"},
		{"ha --help", "kubectl ha bootstrap -f cluster.yaml"},
	} {
		r, err := command(ctx, dir, nil, append([]string{"env", "-i", path, "HOME=" + dir, "kubectl"}, strings.Fields(c.args)...)...)
		if err != nil || r.code != 0 || !strings.Contains(r.stdout, c.want) {
			t.Errorf("kubectl %s: %v %s", c.args, err, r)
		}
	}
}

// checkStart: the help is there at once. The best of many tries, since other things run
// on the machine beside it.
func checkStart(ctx context.Context, t *testing.T, program string) {
	t.Helper()
	const bound = 100 * time.Millisecond
	best := time.Hour
	for range 20 {
		began := time.Now()
		r, err := command(ctx, filepath.Dir(program), nil, program, "--help")
		if err != nil || r.code != 0 {
			t.Fatalf("%v %s", err, r)
		}
		best = min(best, time.Since(began))
	}
	t.Logf("kubectl-ha --help: %s at best", best.Round(time.Millisecond))
	if best > bound {
		t.Errorf("kubectl-ha --help takes %s at best, of %s", best, bound)
	}
}

// checkedArchive finds this platform's archive by the manifest, and checks its sum.
func checkedArchive(t *testing.T, dist string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dist, "ha.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var plugin struct {
		Spec struct {
			Platforms []struct {
				Selector struct {
					MatchLabels map[string]string `json:"matchLabels"`
				} `json:"selector"`
				URI    string `json:"uri"`
				SHA256 string `json:"sha256"`
			} `json:"platforms"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(raw, &plugin); err != nil {
		t.Fatal(err)
	}
	for _, p := range plugin.Spec.Platforms {
		if p.Selector.MatchLabels["os"] != "linux" || p.Selector.MatchLabels["arch"] != "amd64" {
			continue
		}
		archive := filepath.Join(dist, filepath.Base(p.URI))
		content, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != p.SHA256 {
			t.Fatalf("the sum of %s is not the manifest's", archive)
		}
		return archive
	}
	t.Fatal("the manifest has no linux/amd64")
	return ""
}

// kubectlPath is the real kubectl that the lab has built.
func kubectlPath(t *testing.T) string {
	t.Helper()
	for _, assignment := range strings.Fields(must(t, suiteDeadline, filepath.Join(suite.root, "hack/binaries.sh"), suite.version)) {
		if path, ok := strings.CutPrefix(assignment, "KUBECTL="); ok {
			return path
		}
	}
	t.Fatal("the lab has built no kubectl")
	return ""
}
