package addon

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// maxManifest bounds a manifest that upstream publishes, in bytes.
const maxManifest = 16 << 20

// Source is where manifests come from that upstream publishes.
type Source struct {
	// Bundle is the file of a bundle that has them; empty is upstream itself.
	Bundle string
	// Trust says which bundle that has to be.
	Trust bundles.Trust
	// Mirror is a base URL that serves upstream's files under their own paths, without Bundle.
	Mirror string
}

// fetch brings what an addon lacks; Add compares the checksums.
func (s Source) fetch(ctx context.Context, a *addon.Addon) error {
	for _, f := range a.Missing() {
		content, err := s.content(ctx, f)
		if err != nil {
			return fmt.Errorf("addon %s: %w", a.Descriptor.Name, err)
		}
		if err := a.Add(content); err != nil {
			return fmt.Errorf("%s: %w", f.URL, err)
		}
	}
	return nil
}

func (s Source) content(ctx context.Context, f addon.File) ([]byte, error) {
	if s.Bundle == "" {
		content, err := bundle.FetchFile(ctx, bundle.PinnedFile{URL: f.URL, SHA256: f.SHA256}, s.Mirror)
		if err != nil {
			return nil, fmt.Errorf("%w; if the URL is unreachable, create a bundle with `%s bundle create --addons` and pass it with --bundle", err, program.Name)
		}
		return content, nil
	}
	b, err := s.Trust.Open(s.Bundle)
	if err != nil {
		return nil, err
	}
	r, _, err := b.Blob(ctx, digest.NewDigestFromEncoded(digest.SHA256, f.SHA256))
	if err != nil {
		return nil, errors.Join(action.Invalidf("%s does not contain %s; create it with --addons: %w", s.Bundle, f.URL, err), b.Close())
	}
	content, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	return content, errors.Join(err, r.Close(), b.Close())
}
