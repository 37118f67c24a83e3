package bundle

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"crypto/sha256"

	"github.com/containers/image/v5/manifest"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Verify reads everything: every blob is what its digest says, every image has
// the blobs that its manifest names, every binary unpacks to its checksum, and
// index.json, which other programs go by, lists the same images. All
// that is wrong is in the error, not only the first thing. What is left out of
// a difference is not wrong; see Missing.
func (b *Bundle) Verify(ctx context.Context, sink report.Sink) error {
	step := stepper{sink: sink}.start("bundle/verify", "verify "+b.name)
	var problems []error
	if err := b.verifyBlobs(ctx, step.progress); err != nil {
		problems = append(problems, err)
	}
	if err := b.verifyIndex(); err != nil {
		problems = append(problems, err)
	}
	if ctx.Err() == nil {
		for _, i := range b.contents.Images {
			if !b.Has(i.Manifest) {
				continue
			}
			if err := b.verifyImage(i); err != nil {
				problems = append(problems, fmt.Errorf("image %s: %w", i.Ref, err))
			}
		}
		for _, bin := range b.contents.Binaries {
			if !b.Has(bin.Blob) {
				continue
			}
			if err := b.verifyBinary(ctx, bin); err != nil {
				problems = append(problems, fmt.Errorf("binary %s: %w", bin.Name, err))
			}
		}
	}
	if len(problems) == 0 {
		return step.end(nil)
	}
	return step.end(fmt.Errorf("bundle %s: %w", b.name, errors.Join(problems...)))
}

func (b *Bundle) verifyBlobs(ctx context.Context, progress func(done, total int64)) error {
	var order []digest.Digest
	var total, done int64
	for d, e := range b.blobs {
		order = append(order, d)
		total += e.size
	}
	slices.SortFunc(order, func(x, y digest.Digest) int { return cmp.Compare(b.blobs[x].offset, b.blobs[y].offset) })
	var problems []error
	for _, d := range order {
		e := b.blobs[d]
		p := &progressWriter{w: io.Discard, at: done, total: total, report: progress}
		got, err := hashOf(ctx, io.TeeReader(b.section(e), p))
		if err != nil {
			return errors.Join(append(problems, err)...)
		}
		if got != d {
			problems = append(problems, fmt.Errorf("blob %s has become %s: %w", d, got, ErrDamaged))
		}
		done += e.size
	}
	return errors.Join(problems...)
}

// verifyIndex compares index.json with the contents. Nothing here is taken from it but
// where the bundle's own manifest is; containerd and others take images from it.
func (b *Bundle) verifyIndex() error {
	index, err := b.index()
	if err != nil {
		return err
	}
	type entry struct {
		ref, arch string
		digest    digest.Digest
		size      int64
	}
	listed := map[entry]int{}
	for _, i := range b.contents.Images {
		listed[entry{i.Ref, b.contents.archOf(i.Arch), i.Manifest.Digest, i.Manifest.Size}]++
	}
	for _, m := range index.Manifests {
		if m.ArtifactType == ArtifactType {
			continue
		}
		e := entry{ref: m.Annotations[ocispec.AnnotationRefName], digest: m.Digest, size: m.Size}
		if m.Platform != nil {
			e.arch = m.Platform.Architecture
		}
		if listed[e] == 0 {
			return fmt.Errorf("%s lists %.200q as %.100s, and the contents do not: %w", ocispec.ImageIndexFile, e.ref, e.digest, ErrDamaged)
		}
		listed[e]--
	}
	for e, n := range listed {
		if n > 0 {
			return fmt.Errorf("%s does not list %s as %s: %w", ocispec.ImageIndexFile, e.ref, e.digest, ErrDamaged)
		}
	}
	return nil
}

// verifyImage compares an image's blobs with its manifest.
func (b *Bundle) verifyImage(i Image) error {
	data, err := io.ReadAll(b.section(b.blobs[i.Manifest.Digest]))
	if err != nil {
		return err
	}
	m, err := manifest.FromBlob(data, i.Manifest.MediaType)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	named := []Blob{blobOf(m.ConfigInfo())}
	for _, l := range m.LayerInfos() {
		named = append(named, blobOf(l.BlobInfo))
	}
	for _, n := range named {
		if !slices.ContainsFunc(i.Blobs, func(have Blob) bool { return have.Digest == n.Digest && have.Size == n.Size }) {
			return fmt.Errorf("blob %.100s of its manifest is not among its blobs: %w", n.Digest, ErrDamaged)
		}
	}
	return nil
}

func (b *Bundle) verifyBinary(ctx context.Context, bin Binary) error {
	r, err := bin.Decompress(b.section(b.blobs[bin.Blob.Digest]))
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	h := sha256.New()
	_, err = io.Copy(h, &contextReader{ctx: ctx, r: r})
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != bin.SHA256 {
		return fmt.Errorf("it unpacks to %s instead of %s: %w", got, bin.SHA256, ErrDamaged)
	}
	return nil
}
