//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// What can't be built offline, and what a stand-in for it is started with.
const (
	headlampImage = "ghcr.io/headlamp-k8s/headlamp:v0.45.0"
	grafanaImage  = "docker.io/grafana/grafana:12.3.1"
	operatorImage = "gcr.io/etcd-development/etcd-operator:v0.2.0"

	// standInLabel tells a stand-in from what it stands for.
	standInLabel = "dev.kubectl-ha.stand-in"
)

// extra is a folder for LAB_EXTRA.
type extra struct{ dir string }

func newExtra(t *testing.T) extra { return extra{dir: t.TempDir()} }

// file adds a file of upstream's, by its URL without the scheme, and returns its SHA-256.
func (x extra) file(t *testing.T, url, content string) string {
	t.Helper()
	path := filepath.Join(x.dir, "files", filepath.FromSlash(url))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// serve has the lab's mirror serve what is in the folder, in the way of everybody who
// has such a folder. The mirror of a lab that runs takes it from the same place.
func (x extra) serve(t *testing.T) {
	t.Helper()
	must(t, 10*time.Minute, "env", "LAB_EXTRA="+x.dir, filepath.Join(suite.root, "bin/lab"), "build", "--kubernetes", suite.version+","+suite.other)
}

// standIns adds an archive with a stand-in for each image that the mirror does not have,
// or has a stand-in for. It returns those images; the others are upstream's own, brought
// by whoever runs this with a LAB_EXTRA of their own.
func (x extra) standIns(t *testing.T, mirror string) []string {
	t.Helper()
	var out []string
	for ref, entrypoint := range map[string][]string{headlampImage: {"/standin"}, grafanaImage: {"/standin", "-grafana"}} {
		if served, standIn := servedImage(t, mirror, ref); served && !standIn {
			t.Logf("%s is upstream's own", ref)
			continue
		}
		out = append(out, ref)
		x.image(t, ref, entrypoint)
	}
	slices.Sort(out)
	return out
}

// etcdOperator installs upstream's manifest as it is, where LAB_EXTRA has brought that and
// the image. There can be no stand-in: the checksum is pinned.
func (c *cluster) etcdOperator(t *testing.T) {
	t.Helper()
	if served, _ := servedImage(t, c.cached.Mirror, operatorImage); !served {
		t.Skipf("LAB_EXTRA has not brought %s and upstream's manifest", operatorImage)
	}
	bundle := c.bringAddons(t, "etcd-operator")
	if r := c.ha(t, addonDeadline, "addon", "install", "etcd-operator", "--bundle", bundle, "--yes", "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Errorf("install: %s", r)
	}
	if r := c.ha(t, addonDeadline, "addon", "uninstall", "etcd-operator", "--yes", "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Errorf("uninstall: %s", r)
	}
}

// servedImage says whether the mirror has an image, and whether that is a stand-in.
func servedImage(t *testing.T, mirror, ref string) (served, standIn bool) {
	t.Helper()
	from, err := name.ParseReference(strings.TrimPrefix(mirror, "http://")+"/"+ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), suiteDeadline)
	defer cancel()
	img, err := remote.Image(from, remote.WithContext(ctx), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		return false, false // Serving what is missing shows whether the mirror answers at all.
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return true, config.Config.Labels[standInLabel] != ""
}

// image writes the stand-in as `docker save` would, under upstream's name.
func (x extra) image(t *testing.T, ref string, entrypoint []string) {
	t.Helper()
	program := filepath.Join(suite.dir, "standin")
	if _, err := os.Stat(program); err != nil {
		must(t, 5*time.Minute, "env", "CGO_ENABLED=0", "GOFLAGS=", "go", "build", "-C", suite.root, "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, "./test/e2e/standin")
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "standin", Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	top, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, top)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Entrypoint = entrypoint
	config.Config.Labels = map[string]string{standInLabel: "true"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(x.dir, "images"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(filepath.Join(x.dir, "images", filepath.Base(tag.RepositoryStr())+".tar"), tag, img); err != nil {
		t.Fatal(err)
	}
}
