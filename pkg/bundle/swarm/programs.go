package swarm

import (
	"context"
	"encoding/hex"
	"fmt"
	"path"
	"slices"

	"golang.org/x/mod/semver"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

const (
	maxPrograms = 1 << 10
	maxProgram  = 1 << 30
)

// NewParcelOf makes a parcel of images and host programs.
func NewParcelOf(ctx context.Context, images []bundle.Image, programs []bundle.Binary, source bundle.Upstream) (*Parcel, error) {
	var extra []bundle.Blob
	for _, b := range programs {
		if !slices.Contains(extra, b.Blob) {
			extra = append(extra, b.Blob)
		}
	}
	p, err := newParcel(ctx, extra, images, source, PieceSize)
	if err != nil {
		return nil, err
	}
	p.Programs = programs
	return p, p.checkPrograms()
}

// checkPrograms refuses programs whose blobs are not in the parcel, and names
// that are more than a file's: they become files.
func (p *Parcel) checkPrograms() error {
	if len(p.Programs) > maxPrograms {
		return fmt.Errorf("%d programs are too many", len(p.Programs))
	}
	for _, b := range p.Programs {
		switch sum, err := hex.DecodeString(b.SHA256); {
		case b.Name == "" || b.Name == "." || b.Name == ".." || path.Base(b.Name) != b.Name || len(b.Name) > maxRef:
			return fmt.Errorf("program %.100q: that is no file's name", b.Name)
		case !semver.IsValid(b.Version) || path.Base(b.Version) != b.Version || len(b.Version) > maxRef:
			return fmt.Errorf("program %s: %.100q is no version", b.Name, b.Version)
		case err != nil || len(sum) != 32:
			return fmt.Errorf("program %s: %.100q is no SHA-256", b.Name, b.SHA256)
		case b.Size <= 0 || b.Size > maxProgram:
			return fmt.Errorf("program %s: a size of %d bytes can't be", b.Name, b.Size)
		case !slices.Contains(p.Extra, b.Blob):
			return fmt.Errorf("program %s: its blob %.100q is not in the parcel", b.Name, b.Blob.Digest)
		}
	}
	return nil
}
