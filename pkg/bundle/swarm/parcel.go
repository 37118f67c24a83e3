package swarm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

const (
	// PieceSize is the size of a parcel's pieces in bytes, the last one of a blob
	// apart.
	PieceSize = 4 << 20

	// What a parcel may hold at most. A piece is held in memory while it arrives,
	// hence its bound; the others keep a parcel that lies from costing much.
	minPieceSize = 1 << 10
	maxPieceSize = 8 << 20
	maxPieces    = 1 << 20
	maxBlobs     = 1 << 16
	maxImages    = 1 << 13
	maxBlob      = 256 << 30
	maxParcel    = 64 << 20
	maxRef       = 512
)

// errWrong is wrapped by every refusal of content that is not what its digest
// says.
var errWrong = errors.New("content does not match its digest")

// Parcel is what is to be distributed: images and other blobs, and for each blob
// the digests of its pieces.
type Parcel struct {
	Images []bundle.Image `json:"images"`
	// Extra are blobs that belong to no image: those of host binaries.
	Extra []bundle.Blob `json:"extra,omitempty"`
	// Programs are host programs, whose blobs are extra ones.
	Programs []bundle.Binary `json:"programs,omitempty"`
	// PieceSize in bytes; the last piece of a blob may be shorter.
	PieceSize int64 `json:"pieceSize"`
	// Blobs are the extra ones and those of the images, each one once. What several
	// peers want at once is asked of a feed in this order.
	Blobs []ParcelBlob `json:"blobs"`
}

// ParcelBlob is one blob and its pieces.
type ParcelBlob struct {
	bundle.Blob
	// Pieces are the sha256 sums of its pieces, in order.
	Pieces [][]byte `json:"pieces"`
}

// NewParcelWith makes a parcel of extra blobs and images. It reads each of their
// blobs once from source, as a stream, and refuses one that is not what its digest
// says.
func NewParcelWith(ctx context.Context, extra []bundle.Blob, images []bundle.Image, source bundle.Upstream) (*Parcel, error) {
	return newParcel(ctx, extra, images, source, PieceSize)
}

func newParcel(ctx context.Context, extra []bundle.Blob, images []bundle.Image, source bundle.Upstream, pieceSize int64) (*Parcel, error) {
	p := &Parcel{Images: images, Extra: extra, PieceSize: pieceSize}
	of := map[digest.Digest]string{}
	add := func(b bundle.Blob, name string) {
		if _, seen := of[b.Digest]; !seen {
			of[b.Digest] = name
			p.Blobs = append(p.Blobs, ParcelBlob{Blob: b})
		}
	}
	for _, b := range extra {
		add(b, "blob")
	}
	for _, i := range images {
		for _, b := range i.Blobs {
			add(b, "image "+i.Ref)
		}
	}
	// It is the processor that takes the time.
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for n, b := range p.Blobs {
		group.Go(func() (err error) {
			if p.Blobs[n].Pieces, err = sumPieces(ctx, b.Blob, source, pieceSize); err != nil {
				return fmt.Errorf("%s: %w", of[b.Digest], err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// sumPieces reads a blob through.
func sumPieces(ctx context.Context, b bundle.Blob, source bundle.Upstream, pieceSize int64) (_ [][]byte, err error) {
	if err := checkBlob(b); err != nil {
		return nil, err
	}
	r, _, err := source.Blob(ctx, b.Digest)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var pieces [][]byte
	whole := sha256.New()
	for left := b.Size; left > 0; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		piece := sha256.New()
		n, err := io.CopyN(io.MultiWriter(whole, piece), r, min(left, pieceSize))
		if err != nil {
			return nil, fmt.Errorf("read blob %s at %d: %w", b.Digest, b.Size-left+n, err)
		}
		left -= n
		pieces = append(pieces, piece.Sum(nil))
	}
	if n, err := io.CopyN(io.Discard, r, 1); n > 0 || !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("blob %s does not end after its %d bytes: %w", b.Digest, b.Size, errWrong), err)
	}
	if got := digest.NewDigest(digest.SHA256, whole); got != b.Digest {
		return nil, fmt.Errorf("blob %s turned out to be %s: %w", b.Digest, got, errWrong)
	}
	return pieces, nil
}

// Encode makes the parcel's bytes and the digest and size by which peers ask
// for it.
func (p *Parcel) Encode() ([]byte, bundle.Blob) {
	// Structs of strings, numbers and bytes always can be.
	data, _ := json.Marshal(p)
	return data, bundle.Blob{Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// Decode reads a parcel that has to have the digest and size of want. It is
// strict: what contradicts itself or can't be is refused.
func Decode(data []byte, want bundle.Blob) (*Parcel, error) {
	if int64(len(data)) != want.Size || digest.FromBytes(data) != want.Digest {
		return nil, fmt.Errorf("parcel %s: %d bytes came: %w", want.Digest, len(data), errWrong)
	}
	p := &Parcel{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("parcel %s: %w", want.Digest, err)
	}
	if d.InputOffset() != int64(len(data)) {
		return nil, fmt.Errorf("parcel %s: something follows it", want.Digest)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("parcel %s: %w", want.Digest, err)
	}
	return p, nil
}

// Size is the sum of its blobs, in bytes.
func (p *Parcel) Size() (n int64) {
	for _, b := range p.Blobs {
		n += b.Size
	}
	return n
}

func (p *Parcel) check() error {
	if p.PieceSize < minPieceSize || p.PieceSize > maxPieceSize {
		return fmt.Errorf("pieces of %d bytes can't be", p.PieceSize)
	}
	if len(p.Images)+len(p.Extra) == 0 || len(p.Images) > maxImages || len(p.Blobs) > maxBlobs {
		return fmt.Errorf("%d images of %d blobs are none or too many", len(p.Images), len(p.Blobs))
	}
	sizes, pieces := map[digest.Digest]int64{}, int64(0)
	for _, b := range p.Blobs {
		if _, ok := sizes[b.Digest]; ok {
			return fmt.Errorf("blob %.100q is there twice", b.Digest)
		}
		if err := b.check(p.PieceSize); err != nil {
			return err
		}
		sizes[b.Digest] = b.Size
		pieces += int64(len(b.Pieces))
	}
	if pieces > maxPieces {
		return fmt.Errorf("%d pieces are too many", pieces)
	}
	if err := p.checkImages(sizes); err != nil {
		return err
	}
	return p.checkPrograms()
}

// checkImages refuses images with blobs that are not in the parcel, and blobs
// that are in no image and not extra.
func (p *Parcel) checkImages(sizes map[digest.Digest]int64) error {
	used, refs := map[digest.Digest]bool{}, map[string]bool{}
	for _, b := range p.Extra {
		if size, ok := sizes[b.Digest]; !ok || size != b.Size {
			return fmt.Errorf("the extra blob %.100q is not in the parcel with %d bytes", b.Digest, b.Size)
		}
		used[b.Digest] = true
	}
	for _, i := range p.Images {
		if i.Ref == "" || len(i.Ref) > maxRef || refs[i.Ref] {
			return fmt.Errorf("image %.100q: it has no name, one that is too long, or is there twice", i.Ref)
		}
		refs[i.Ref] = true
		if len(i.Blobs) < 2 || i.Blobs[0] != i.Manifest {
			return fmt.Errorf("image %s: its blobs do not begin with its manifest and config", i.Ref)
		}
		for _, b := range i.Blobs {
			if size, ok := sizes[b.Digest]; !ok || size != b.Size {
				return fmt.Errorf("image %s: its blob %.100q is not in the parcel with %d bytes", i.Ref, b.Digest, b.Size)
			}
			used[b.Digest] = true
		}
	}
	if len(used) != len(p.Blobs) {
		return fmt.Errorf("%d of %d blobs belong to no image", len(p.Blobs)-len(used), len(p.Blobs))
	}
	return nil
}

func (b ParcelBlob) check(pieceSize int64) error {
	if err := checkBlob(b.Blob); err != nil {
		return err
	}
	if want := (b.Size + pieceSize - 1) / pieceSize; int64(len(b.Pieces)) != want {
		return fmt.Errorf("blob %s has %d pieces instead of %d", b.Digest, len(b.Pieces), want)
	}
	for n, sum := range b.Pieces {
		if len(sum) != sha256.Size {
			return fmt.Errorf("blob %s: the sum of its piece %d has %d bytes", b.Digest, n, len(sum))
		}
	}
	if len(b.Pieces) == 1 && digest.NewDigestFromBytes(digest.SHA256, b.Pieces[0]) != b.Digest {
		return fmt.Errorf("blob %s: the sum of its only piece is another", b.Digest)
	}
	return nil
}

func checkBlob(b bundle.Blob) error {
	if err := checkDigest(b.Digest); err != nil {
		return err
	}
	if b.Size <= 0 || b.Size > maxBlob {
		return fmt.Errorf("blob %s: a size of %d bytes can't be", b.Digest, b.Size)
	}
	return nil
}

// checkDigest accepts well-formed sha256 digests only: they become file names.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %.100q: %w", string(d), err)
	}
	if d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %.100q: only sha256 is known", string(d))
	}
	return nil
}
