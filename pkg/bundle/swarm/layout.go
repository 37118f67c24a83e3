package swarm

import (
	"bytes"
	"crypto/sha256"
	"sort"

	"github.com/opencontainers/go-digest"
)

// layout numbers the pieces of a parcel: those of its first blob, then those of
// the second, and so on. Peers and the feed name pieces by these numbers.
type layout struct {
	parcel *Parcel
	// first is the number of each blob's first piece, and at its end that of all.
	first    []int
	byDigest map[digest.Digest]int
}

func newLayout(p *Parcel) *layout {
	l := &layout{parcel: p, first: make([]int, 1, len(p.Blobs)+1), byDigest: map[digest.Digest]int{}}
	for n, b := range p.Blobs {
		l.first = append(l.first, l.first[n]+len(b.Pieces))
		l.byDigest[b.Digest] = n
	}
	return l
}

// pieces is how many there are.
func (l *layout) pieces() int { return l.first[len(l.first)-1] }

// blobOf is the blob that a piece is of.
func (l *layout) blobOf(piece int) int {
	return sort.SearchInts(l.first, piece+1) - 1
}

// at is where a piece lies in its blob, in bytes.
func (l *layout) at(piece int) (blob ParcelBlob, offset, size int64) {
	n := l.blobOf(piece)
	blob = l.parcel.Blobs[n]
	offset = int64(piece-l.first[n]) * l.parcel.PieceSize
	return blob, offset, min(l.parcel.PieceSize, blob.Size-offset)
}

func (l *layout) size(piece int) int64 {
	_, _, size := l.at(piece)
	return size
}

// right tells whether data is the piece.
func (l *layout) right(piece int, data []byte) bool {
	sum := sha256.Sum256(data)
	return l.sums(piece, sum[:])
}

// sums tells whether the piece has this sum.
func (l *layout) sums(piece int, sum []byte) bool {
	n := l.blobOf(piece)
	return bytes.Equal(sum, l.parcel.Blobs[n].Pieces[piece-l.first[n]])
}

// whole tells whether all pieces of a blob are in have.
func (l *layout) whole(blob int, have bitset) bool {
	for n := l.first[blob]; n < l.first[blob+1]; n++ {
		if !have.has(n) {
			return false
		}
	}
	return true
}

// bytes sums up the pieces of the blobs that are in blobs, and of these the
// pieces for which had says so.
func (l *layout) bytes(blobs bitset, had func(piece int) bool) (all, of int64) {
	for n, b := range l.parcel.Blobs {
		if !blobs.has(n) {
			continue
		}
		all += b.Size
		for piece := l.first[n]; piece < l.first[n+1]; piece++ {
			if had(piece) {
				of += l.size(piece)
			}
		}
	}
	return all, of
}
