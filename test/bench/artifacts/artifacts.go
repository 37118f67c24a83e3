// Package artifacts lays out what the scripts work with that the product is
// measured against: the content of the very bundle that the product uses.
package artifacts

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// Write lays out what the floor works with, from the very bundle that
// the product uses: binaries as one tar, images as two archives for `ctr images
// import`, the network's manifest. It returns the sandbox image's reference.
func Write(ctx context.Context, path, dir, manifest string) (sandbox string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	b, err := bundle.Open(path)
	if err != nil {
		return "", err
	}
	defer b.Close()
	c := b.Contents()
	if err := writeBinaries(ctx, b, filepath.Join(dir, "bin.tar")); err != nil {
		return "", err
	}
	if err := writeKubectl(ctx, b, filepath.Join(dir, "kubectl")); err != nil {
		return "", err
	}
	var node, controlPlane []bundle.Image
	for _, i := range c.Images {
		if slices.Contains(i.For, v1alpha1.RoleWorker) {
			node = append(node, i)
		} else {
			controlPlane = append(controlPlane, i)
		}
	}
	for name, images := range map[string][]bundle.Image{"images-node.tar": node, "images-cp.tar": controlPlane} {
		if err := writeImages(ctx, b, images, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	text, err := os.ReadFile(manifest)
	if err != nil {
		return "", err
	}
	return c.PauseImage(), os.WriteFile(filepath.Join(dir, "flannel.yaml"), text, 0o644)
}

func writeBinaries(ctx context.Context, b *bundle.Bundle, path string) error {
	return writeTar(path, func(w *tar.Writer) error {
		for _, x := range b.Contents().Binaries {
			blob, _, err := b.Blob(ctx, x.Blob.Digest)
			if err != nil {
				return err
			}
			plain, err := x.Decompress(blob)
			if err != nil {
				return err
			}
			if err := addFile(w, "."+x.Path, 0o755, x.Size, plain); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeKubectl writes the workstation's own kubectl.
func writeKubectl(ctx context.Context, b *bundle.Bundle, path string) error {
	x, ok := b.Contents().Binary("kubectl")
	if !ok {
		return fmt.Errorf("the bundle has no kubectl")
	}
	blob, _, err := b.Blob(ctx, x.Blob.Digest)
	if err != nil {
		return err
	}
	plain, err := x.Decompress(blob)
	if err != nil {
		return err
	}
	defer plain.Close()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, plain); err != nil {
		return err
	}
	return f.Close()
}

// writeImages writes an OCI archive as `ctr images import` reads it.
func writeImages(ctx context.Context, b *bundle.Bundle, images []bundle.Image, path string) error {
	return writeTar(path, func(w *tar.Writer) error {
		index := v1.Index{MediaType: v1.MediaTypeImageIndex}
		index.SchemaVersion = 2
		seen := map[string]bool{}
		for _, i := range images {
			for _, blob := range i.Blobs {
				name := "blobs/" + strings.Replace(blob.Digest.String(), ":", "/", 1)
				if seen[name] {
					continue
				}
				seen[name] = true
				r, size, err := b.Blob(ctx, blob.Digest)
				if err != nil {
					return err
				}
				if err := addFile(w, name, 0o644, size, r); err != nil {
					return err
				}
			}
			index.Manifests = append(index.Manifests, v1.Descriptor{MediaType: i.Manifest.MediaType, Digest: i.Manifest.Digest, Size: i.Manifest.Size,
				Annotations: map[string]string{"io.containerd.image.name": i.Ref}})
		}
		text, err := json.Marshal(index)
		if err != nil {
			return err
		}
		layout := fmt.Sprintf(`{"imageLayoutVersion":%q}`, v1.ImageLayoutVersion)
		if err := addFile(w, v1.ImageLayoutFile, 0o644, int64(len(layout)), io.NopCloser(strings.NewReader(layout))); err != nil {
			return err
		}
		return addFile(w, v1.ImageIndexFile, 0o644, int64(len(text)), io.NopCloser(bytes.NewReader(text)))
	})
}

func addFile(w *tar.Writer, name string, mode, size int64, r io.ReadCloser) error {
	defer r.Close()
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: size}); err != nil {
		return err
	}
	_, err := io.Copy(w, r)
	return err
}

func writeTar(path string, fill func(*tar.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := fill(w); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}
