package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layout writes an OCI layout with images of so many bytes in all, which can't
// be compressed and are different for every seed: none of it is on a node.
type layout struct {
	dir  string
	seed uint64
}

// imagesPerLayout and layersPerImage are like those of a Kubernetes version.
const (
	imagesPerLayout = 5
	layersPerImage  = 3
)

func (l layout) write(size int64) error {
	if err := os.MkdirAll(filepath.Join(l.dir, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for i := range imagesPerLayout {
		m, err := l.image(i, size/(imagesPerLayout*layersPerImage))
		if err != nil {
			return err
		}
		m.Annotations = map[string]string{ocispec.AnnotationRefName: fmt.Sprintf("bench.example/seed-%d/image-%d:v1", l.seed, i)}
		index.Manifests = append(index.Manifests, m)
	}
	if err := l.file("index.json", index); err != nil {
		return err
	}
	return l.file(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
}

func (l layout) file(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.dir, name), data, 0o644)
}

func (l layout) image(n int, layerSize int64) (ocispec.Descriptor, error) {
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	config := ocispec.Image{Platform: ocispec.Platform{Architecture: "amd64", OS: "linux"}, RootFS: ocispec.RootFS{Type: "layers"}}
	for i := range layersPerImage {
		d, err := l.layer(byte(n*layersPerImage+i), layerSize)
		if err != nil {
			return d, err
		}
		m.Layers = append(m.Layers, d)
		// A layer that is not compressed is its own diff.
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d.Digest)
	}
	data, err := json.Marshal(config)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if m.Config, err = l.blob(ocispec.MediaTypeImageConfig, bytes.NewReader(data)); err != nil {
		return ocispec.Descriptor{}, err
	}
	if data, err = json.Marshal(m); err != nil {
		return ocispec.Descriptor{}, err
	}
	return l.blob(ocispec.MediaTypeImageManifest, bytes.NewReader(data))
}

// layer is a tar with one file of random bytes.
func (l layout) layer(n byte, size int64) (ocispec.Descriptor, error) {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], l.seed)
	seed[8] = n
	r, w := io.Pipe()
	go func() {
		t := tar.NewWriter(w)
		err := t.WriteHeader(&tar.Header{Name: fmt.Sprintf("data-%d", n), Mode: 0o644, Size: size})
		if err == nil {
			_, err = io.CopyN(t, rand.NewChaCha8(seed), size)
		}
		if err == nil {
			err = t.Close()
		}
		w.CloseWithError(err)
	}()
	return l.blob(ocispec.MediaTypeImageLayer, r)
}

func (l layout) blob(mediaType string, r io.Reader) (d ocispec.Descriptor, err error) {
	dir := filepath.Join(l.dir, "blobs", "sha256")
	f, err := os.CreateTemp(dir, "new-")
	if err != nil {
		return d, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), r)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return d, err
	}
	d = ocispec.Descriptor{MediaType: mediaType, Digest: digest.NewDigest(digest.SHA256, sum), Size: n}
	return d, os.Rename(f.Name(), filepath.Join(dir, d.Digest.Encoded()))
}
