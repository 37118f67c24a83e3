package bundles

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/spdx"
)

// Inspected is what is known of a bundle.
type Inspected struct {
	// Digest is the bundle's.
	Digest digest.Digest `json:"digest"`
	// Size is that of all its blobs, in bytes; MissingBlobs and MissingBytes are
	// left out since the bundle that it is the difference to has them.
	Size         int64 `json:"size"`
	MissingBlobs int   `json:"missingBlobs,omitempty"`
	MissingBytes int64 `json:"missingBytes,omitempty"`
	// Signed says that there is a signature, and not whose it is.
	Signed bool `json:"signed,omitempty"`
	// Unverified is what nobody vouches for but where it came from.
	Unverified []Unverified `json:"unverified"`
	bundle.Contents
}

// Inspect tells what is in a bundle. Nothing but its own documents is read.
func Inspect(path string) (Inspected, error) {
	b, err := Open(path)
	if err != nil {
		return Inspected{}, err
	}
	return inspect(b), b.Close()
}

func inspect(b *bundle.Bundle) Inspected {
	missing, contents := b.Missing(), b.Contents()
	return Inspected{Digest: b.Digest(), Size: contents.Size(), MissingBlobs: len(missing), MissingBytes: bundle.SizeOf(missing),
		Signed: b.Signed(), Unverified: UnverifiedOf(contents), Contents: contents}
}

// SBOM is a bundle's bill of materials, as of that moment.
func SBOM(path string, now time.Time) (spdx.Document, error) {
	b, err := Open(path)
	if err != nil {
		return spdx.Document{}, err
	}
	return b.SBOM(now), b.Close()
}

// VerifyOptions say which bundle is read, and which it has to be.
type VerifyOptions struct {
	// Path is the bundle's file.
	Path string
	// Bases are the bundles that have what this one leaves out; without them it is checked as
	// far as it goes.
	Bases []string
	Trust Trust
}

// Verify reads a whole bundle and checks every digest in it. One that is not sound, or not the
// one that it has to be, is an action.Invalid.
func Verify(ctx context.Context, o VerifyOptions, sink report.Sink) (Inspected, error) {
	b, err := o.Trust.Open(o.Path, o.Bases...)
	if err != nil {
		return Inspected{}, err
	}
	defer b.Close() //nolint:errcheck // only read
	if err := b.Verify(ctx, sink); err != nil {
		return Inspected{}, action.As(action.Invalid, err)
	}
	return inspect(b), nil
}

// Compared is what changes from one bundle to another.
type Compared struct {
	bundle.Difference
	// SeveralArchs says that an item's name is not enough, since they are for several
	// architectures.
	SeveralArchs bool `json:"-"`
}

// Compare tells what changes from one bundle's file to another's, and what would have to move.
func Compare(from, to string) (Compared, error) {
	var both []bundle.Contents
	for _, path := range []string{from, to} {
		b, err := Open(path)
		if err != nil {
			return Compared{}, err
		}
		both = append(both, b.Contents())
		if err := b.Close(); err != nil {
			return Compared{}, err
		}
	}
	return Compared{bundle.Diff(both[0], both[1]), len(both[0].Archs())+len(both[1].Archs()) > 2}, nil
}
