package bundle

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The bounds of what is read from a bundle before anything in it is trusted.
const (
	maxEntries  = 65536
	maxIndex    = 8 << 20
	maxContents = 32 << 20
	// maxBlob bounds one blob, in bytes. A bundle's blobs lie within its file.
	maxBlob = 256 << 30
)

// ErrNotBundle is wrapped when a file is not a bundle at all.
var ErrNotBundle = errors.New("it is not a bundle made by `kubectl ha bundle create`")

// ErrDamaged is wrapped when a bundle is cut off or changed.
var ErrDamaged = errors.New("the bundle is damaged; copy it again or make it anew with `kubectl ha bundle create`")

// extent is where a blob lies: in the bundle's file, or in that of the bundle
// that it is the difference to.
type extent struct {
	offset, size int64
	base         io.ReaderAt
}

// Bundle is an open bundle. Its methods may be called from many goroutines.
type Bundle struct {
	name     string
	file     io.ReaderAt
	closers  []io.Closer
	blobs    map[digest.Digest]extent
	contents Contents
	identity digest.Digest
	// manifest is the bundle's own, as it was read; signature is what is said to be
	// one over it, nil when there is none.
	manifest  []byte
	signature []byte
	// top is where index.json lies.
	top extent
}

// Open reads what a bundle holds, without reading the blobs; Verify does that.
// The caller closes it.
func Open(name string) (*Bundle, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open bundle: %w", err), f.Close())
	}
	b, err := read(f, info.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bundle %s: %w", name, err), f.Close())
	}
	b.name, b.closers = name, []io.Closer{f}
	return b, nil
}

// Close closes the file, and those of its bases.
func (b *Bundle) Close() error {
	var err error
	for _, c := range b.closers {
		err = errors.Join(err, c.Close())
	}
	return err
}

// Contents says what is in it.
func (b *Bundle) Contents() Contents { return b.contents }

// ForArch is the bundle as if it were made for this one architecture alone. It
// reads from the same file; closing either closes it.
func (b *Bundle) ForArch(arch string) *Bundle {
	out := *b
	out.contents = b.contents.ForArch(arch)
	return &out
}

// Digest identifies the bundle: that of its own manifest, which names
// everything else by digest.
func (b *Bundle) Digest() digest.Digest { return b.identity }

// Blob reads a blob straight from the file. It makes a Bundle an Upstream. The
// reader is an io.ReaderAt too.
func (b *Bundle) Blob(_ context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	e, ok := b.blobs[d]
	if !ok {
		return nil, 0, fmt.Errorf("%.100s in bundle %s: %w", d, b.name, ErrMissing)
	}
	return openSection{b.section(e)}, e.size, nil
}

// openSection is a part of a file that somebody else closes.
type openSection struct{ *io.SectionReader }

func (openSection) Close() error { return nil }

// Has tells whether the blob is in the file with that size.
func (b *Bundle) Has(blob Blob) bool {
	e, ok := b.blobs[blob.Digest]
	return ok && e.size == blob.Size
}

func (b *Bundle) section(e extent) *io.SectionReader {
	if e.base != nil {
		return io.NewSectionReader(e.base, e.offset, e.size)
	}
	return io.NewSectionReader(b.file, e.offset, e.size)
}

// read indexes the tar and reads the bundle's own documents.
func read(file io.ReaderAt, size int64) (*Bundle, error) {
	entries, err := indexTar(file, size)
	if err != nil {
		return nil, err
	}
	if _, ok := entries[ocispec.ImageLayoutFile]; !ok {
		return nil, fmt.Errorf("there is no %s in it: %w", ocispec.ImageLayoutFile, ErrNotBundle)
	}
	top, ok := entries[ocispec.ImageIndexFile]
	if !ok {
		return nil, fmt.Errorf("there is no %s in it: %w", ocispec.ImageIndexFile, ErrNotBundle)
	}
	b := &Bundle{file: file, blobs: map[digest.Digest]extent{}, top: top}
	for name, e := range entries {
		if hex, ok := strings.CutPrefix(name, blobPrefix); ok {
			d := digest.NewDigestFromEncoded(digest.SHA256, hex)
			if err := checkDigest(d); err != nil {
				return nil, fmt.Errorf("%w: %w", err, ErrDamaged)
			}
			b.blobs[d] = e
		}
	}
	if err := b.load(); err != nil {
		return nil, err
	}
	if e, ok := entries[signatureFile]; ok {
		if b.signature, err = b.bytes(e, maxSignature, ""); err != nil {
			return nil, fmt.Errorf("its signature: %w", err)
		}
	}
	return b, b.complete()
}

// indexTar finds every file in the tar and where it lies.
func indexTar(file io.ReaderAt, size int64) (map[string]extent, error) {
	whole := io.NewSectionReader(file, 0, size)
	archive := tar.NewReader(whole)
	entries := map[string]extent{}
	var last extent
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return entries, checkEnd(last, size)
		}
		if err != nil && len(entries) == 0 {
			return nil, fmt.Errorf("%w: %w", err, ErrNotBundle)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrDamaged)
		}
		// The tar reader reads a header's blocks and nothing ahead of them, so
		// this is where the file's content begins.
		offset, err := whole.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if err := checkEntry(h, offset, size, entries); err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg {
			last = extent{offset: offset, size: h.Size}
			entries[h.Name] = last
		}
	}
}

// checkEnd tells a tar that was cut off between two files from a whole one: a
// whole one ends with two blocks of zeros.
func checkEnd(last extent, size int64) error {
	const block = 512
	end := (last.offset + last.size + block - 1) / block * block
	if last.offset > 0 && size-end < 2*block {
		return fmt.Errorf("its end is missing: %w", ErrDamaged)
	}
	return nil
}

// checkEntry refuses what no bundle has.
func checkEntry(h *tar.Header, offset, size int64, entries map[string]extent) error {
	if h.Typeflag == tar.TypeDir {
		return nil
	}
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("%.200q in it is neither file nor directory: %w", h.Name, ErrNotBundle)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse") {
			return fmt.Errorf("%.200q in it is a sparse file: %w", h.Name, ErrNotBundle)
		}
	}
	if h.Name != path.Clean(h.Name) || path.IsAbs(h.Name) || h.Name == ".." || strings.HasPrefix(h.Name, "../") ||
		strings.ContainsRune(h.Name, '\\') {
		return fmt.Errorf("the name %.200q in it is not one that a bundle has: %w", h.Name, ErrNotBundle)
	}
	if _, ok := entries[h.Name]; ok {
		return fmt.Errorf("%.200q is in it twice: %w", h.Name, ErrDamaged)
	}
	if len(entries) >= maxEntries {
		return fmt.Errorf("there are more than %d files in it: %w", maxEntries, ErrNotBundle)
	}
	if h.Size < 0 || h.Size > size-offset {
		return fmt.Errorf("%.200q should have %d bytes, but the file ends after %d of them: %w",
			h.Name, h.Size, size-offset, ErrDamaged)
	}
	return nil
}

// load reads index.json, the bundle's own manifest and its contents.
func (b *Bundle) load() error {
	index, err := b.index()
	if err != nil {
		return err
	}
	for _, d := range index.Manifests {
		if d.ArtifactType != ArtifactType {
			continue
		}
		if b.identity != "" {
			return fmt.Errorf("it has two manifests of its own: %w", ErrDamaged)
		}
		b.identity = d.Digest
	}
	if b.identity == "" {
		return fmt.Errorf("nothing in its %s is of the type %s: %w", ocispec.ImageIndexFile, ArtifactType, ErrNotBundle)
	}
	var artifact ocispec.Manifest
	if b.manifest, err = b.blobDocument(b.identity, maxManifest, &artifact); err != nil {
		return fmt.Errorf("its manifest: %w", err)
	}
	if artifact.Config.MediaType != MediaTypeContents {
		return fmt.Errorf("its contents are of the type %.100q, which this program does not know: %w",
			artifact.Config.MediaType, ErrNotBundle)
	}
	if _, err := b.blobDocument(artifact.Config.Digest, maxContents, &b.contents); err != nil {
		return fmt.Errorf("its contents: %w", err)
	}
	if err := checkContents(b.contents); err != nil {
		return fmt.Errorf("its contents: %w: %w", err, ErrDamaged)
	}
	return nil
}

// index reads index.json.
func (b *Bundle) index() (ocispec.Index, error) {
	var out ocispec.Index
	if _, err := b.document(b.top, maxIndex, "", &out); err != nil {
		return out, fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	return out, nil
}

func (b *Bundle) blobDocument(d digest.Digest, limit int64, into any) ([]byte, error) {
	e, ok := b.blobs[d]
	if !ok {
		return nil, fmt.Errorf("blob %.100s is not in it: %w", d, ErrDamaged)
	}
	return b.document(e, limit, d, into)
}

// document reads a small JSON document, checked when it has a digest.
func (b *Bundle) document(e extent, limit int64, d digest.Digest, into any) ([]byte, error) {
	data, err := b.bytes(e, limit, d)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	return data, nil
}

// bytes reads a small file, checked when it has a digest.
func (b *Bundle) bytes(e extent, limit int64, d digest.Digest) ([]byte, error) {
	if e.size > limit {
		return nil, fmt.Errorf("%d bytes are more than the %d that it may have: %w", e.size, limit, ErrDamaged)
	}
	data, err := io.ReadAll(b.section(e))
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(data); d != "" && got != d {
		return nil, fmt.Errorf("%s has become %s: %w", d, got, ErrDamaged)
	}
	return data, nil
}

// complete checks that every blob of the contents is there with its size, but
// for those that are left out.
func (b *Bundle) complete() error {
	left := map[digest.Digest]bool{}
	for _, l := range b.contents.LeftOut() {
		left[l.Digest] = true
	}
	for _, want := range b.contents.Blobs() {
		e, ok := b.blobs[want.Digest]
		if !ok && left[want.Digest] {
			continue
		}
		if !ok {
			return fmt.Errorf("blob %s is not in it: %w", want.Digest, ErrDamaged)
		}
		if e.size != want.Size {
			return fmt.Errorf("blob %s has %d bytes instead of %d: %w", want.Digest, e.size, want.Size, ErrDamaged)
		}
	}
	return nil
}
