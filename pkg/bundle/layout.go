package bundle

import (
	"archive/tar"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
)

const (
	// ArtifactType marks a bundle's own manifest in index.json.
	ArtifactType = "application/vnd.kubectl-ha.bundle.v1"
	// MediaTypeContents is the media type of the blob that is Contents as JSON.
	MediaTypeContents = "application/vnd.kubectl-ha.bundle.contents.v1+json"
)

const blobPrefix = "blobs/sha256/"

// sealed is a bundle's own documents, made from its contents.
type sealed struct {
	index    []byte
	manifest ocispec.Descriptor
	// blobs are the two documents that are blobs themselves: the contents and
	// the manifest that names them.
	blobs map[digest.Digest][]byte
}

// seal writes the documents. The same contents give the same bytes.
func seal(c Contents) (sealed, error) {
	config, err := json.Marshal(c)
	if err != nil {
		return sealed{}, err
	}
	artifact := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: ArtifactType,
		Config: descriptor(MediaTypeContents, config),
		Layers: []ocispec.Descriptor{},
	}
	for _, b := range c.Binaries {
		d := describe(b.Blob)
		d.Annotations = map[string]string{ocispec.AnnotationTitle: b.Name}
		artifact.Layers = append(artifact.Layers, d)
	}
	data, err := json.Marshal(artifact)
	if err != nil {
		return sealed{}, err
	}
	own := descriptor(ocispec.MediaTypeImageManifest, data)
	own.ArtifactType = ArtifactType
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{own},
	}
	for _, i := range c.Images {
		d := describe(i.Manifest)
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: c.archOf(i.Arch)}
		d.Annotations = map[string]string{ocispec.AnnotationRefName: i.Ref}
		index.Manifests = append(index.Manifests, d)
	}
	top, err := json.Marshal(index)
	if err != nil {
		return sealed{}, err
	}
	return sealed{index: top, manifest: own,
		blobs: map[digest.Digest][]byte{artifact.Config.Digest: config, own.Digest: data}}, nil
}

// Digest is the Digest of a bundle that has these contents.
func (c Contents) Digest() (digest.Digest, error) {
	docs, err := seal(c)
	return docs.manifest.Digest, err
}

func descriptor(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

func describe(b Blob) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: b.MediaType, Digest: b.Digest, Size: b.Size}
}

// writeFile writes the bundle, at once or not at all.
func writeFile(ctx context.Context, path string, c Contents, key crypto.Signer, store *Store, progress func(done, total int64)) error {
	return localfile.Replace(path, 0o644, func(f io.Writer) error {
		w := &progressWriter{w: f, total: c.Size() - SizeOf(c.LeftOut()), report: progress}
		return writeLayout(ctx, w, c, key, store)
	})
}

// writeLayout writes the tar: the two documents that say what it is first, with a key
// the signature, then the blobs by digest. Nothing in it depends on when or where it
// was made.
func writeLayout(ctx context.Context, w io.Writer, c Contents, key crypto.Signer, store *Store) error {
	docs, err := seal(c)
	if err != nil {
		return err
	}
	layout, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	if err := writeEntry(archive, ocispec.ImageLayoutFile, int64(len(layout)), strings.NewReader(string(layout))); err != nil {
		return err
	}
	if err := writeEntry(archive, ocispec.ImageIndexFile, int64(len(docs.index)), strings.NewReader(string(docs.index))); err != nil {
		return err
	}
	if key != nil {
		signature, err := sign(key, docs.blobs[docs.manifest.Digest])
		if err != nil {
			return err
		}
		if err := writeEntry(archive, signatureFile, int64(len(signature)), strings.NewReader(string(signature))); err != nil {
			return err
		}
	}
	left := map[digest.Digest]bool{}
	for _, b := range c.LeftOut() {
		left[b.Digest] = true
	}
	var all []digest.Digest
	for _, b := range c.Blobs() {
		if !left[b.Digest] {
			all = append(all, b.Digest)
		}
	}
	for d := range docs.blobs {
		all = append(all, d)
	}
	slices.Sort(all)
	for _, d := range all {
		if err := writeBlob(ctx, archive, d, docs, store); err != nil {
			return err
		}
	}
	return archive.Close()
}

// writeBlob copies one blob into the tar, checked as it passes.
func writeBlob(ctx context.Context, archive *tar.Writer, d digest.Digest, docs sealed, store *Store) error {
	if data, ok := docs.blobs[d]; ok {
		return writeEntry(archive, blobPrefix+d.Encoded(), int64(len(data)), strings.NewReader(string(data)))
	}
	r, size, err := store.Blob(ctx, d)
	if err != nil {
		return err
	}
	verifier := d.Verifier()
	err = writeEntry(archive, blobPrefix+d.Encoded(), size, io.TeeReader(&contextReader{ctx: ctx, r: r}, verifier))
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if !verifier.Verified() {
		return errors.Join(fmt.Errorf("blob %s in %s: %w; run it again", d, store.Dir(), errDigest), store.Remove(d))
	}
	return nil
}

func writeEntry(archive *tar.Writer, name string, size int64, r io.Reader) error {
	// Zero times, owners and the like: the same inputs give the same bytes.
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: int64(fs.FileMode(0o644))}
	if err := archive.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(archive, r)
	return err
}
