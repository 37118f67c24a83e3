// Package bundletest makes small bundles for tests.
package bundletest

import (
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// SavedImage writes an archive as `docker save` does, with one image of that
// name for amd64.
func SavedImage(t *testing.T, file, ref, maintainer string) {
	t.Helper()
	config, err := empty.Image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Author = "linux", "amd64", maintainer
	img, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.MultiWriteToFile(file, map[name.Tag]v1.Image{tag: img}); err != nil {
		t.Fatal(err)
	}
}

// Create makes a bundle of one image at file.
func Create(t *testing.T, file, ref string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image.tar")
	SavedImage(t, image, ref, "somebody")
	if _, err := bundle.Create(t.Context(), bundle.CreateOptions{From: []string{image}, Output: file, WorkDir: t.TempDir()}, report.Discard()); err != nil {
		t.Fatal(err)
	}
}
