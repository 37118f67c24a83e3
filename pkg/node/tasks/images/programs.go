package images

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
)

// programs are those of the parcel that are for this node, by their versions.
func (t *task) programs(all []bundle.Binary) map[string][]bundle.Binary {
	spec := v1alpha1.ImagesSpec{AllRoles: t.spec.AllRoles}
	out := map[string][]bundle.Binary{}
	for _, b := range all {
		if spec.Wants(b.For, t.spec.Roles) {
			out[b.Version] = append(out[b.Version], b)
		}
	}
	return out
}

// lacking are those programs that are not in their release's directory yet.
func (t *task) lacking(all map[string][]bundle.Binary) ([]bundle.Binary, error) {
	var out []bundle.Binary
	for _, list := range all {
		for _, b := range list {
			there, err := t.env.Host.Exists(releasePath(b))
			if err != nil {
				return nil, err
			}
			if there {
				sum, err := t.env.Host.SHA256(releasePath(b))
				if err != nil {
					return nil, err
				}
				there = sum == b.SHA256
			}
			if !there {
				out = append(out, b)
			}
		}
	}
	return out, nil
}

func releasePath(b bundle.Binary) string { return path.Join(upgrade.ReleasesDir, b.Version, b.Name) }

// stage puts programs where an upgrade finds them, and the list of each release
// last: with it the release counts as whole.
func (t *task) stage(ctx context.Context, all map[string][]bundle.Binary) error {
	for version, list := range all {
		if _, err := t.env.Host.Mkdir(ctx, path.Join(upgrade.ReleasesDir, version), 0o755, 0, 0); err != nil {
			return err
		}
		sums := map[string]string{}
		for _, b := range list {
			f := host.File{Path: releasePath(b), Mode: 0o755, Note: b.Name + " " + version + ", for an upgrade"}
			if _, err := t.env.Host.InstallFile(ctx, f, b.SHA256, func() (io.ReadCloser, error) { return t.unpack(ctx, b) }); err != nil {
				return fmt.Errorf("put %s %s onto the host: %w", b.Name, version, err)
			}
			sums[b.Name] = b.SHA256
		}
		manifest, err := json.Marshal(sums)
		if err != nil {
			return err
		}
		f := host.File{Path: path.Join(upgrade.ReleasesDir, version, "manifest.json"), Mode: 0o644, Content: append(manifest, '\n'), Note: "the programs of " + version}
		if _, err := t.env.Host.WriteFile(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// unpack waits for a program's blob and gives its content.
func (t *task) unpack(ctx context.Context, b bundle.Binary) (io.ReadCloser, error) {
	blob, _, err := t.peer.Blob(ctx, b.Blob.Digest)
	if err != nil {
		return nil, err
	}
	content, err := b.Decompress(blob)
	if err != nil {
		_ = blob.Close() // Only read.
		return nil, err
	}
	return &unpacked{ReadCloser: content, blob: blob}, nil
}

// unpacked closes what it reads from as well.
type unpacked struct {
	io.ReadCloser
	blob io.Closer
}

func (u *unpacked) Close() error {
	err := u.ReadCloser.Close()
	_ = u.blob.Close() // Only read.
	return err
}
