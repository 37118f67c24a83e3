package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kubectl-ha/kubectl-ha/test/lab/mirror"
)

// The parts of the folder that Options.Extra names.
const (
	// extraImages holds what `docker save` wrote, each with upstream's names in it.
	extraImages = "images"
	// extraFiles holds upstream's files: <host>/<path>.
	extraFiles = "files"
)

// publishExtra has the mirror serve what cannot be built here: images and files of
// upstream's, from a folder of whoever has them.
func (b *builder) publishExtra(ctx context.Context) error {
	if b.Extra == "" {
		return nil
	}
	if info, err := os.Stat(b.Extra); err != nil || !info.IsDir() {
		return fmt.Errorf("LAB_EXTRA: %s is no folder: %w", b.Extra, err)
	}
	if err := b.copyExtraFiles(); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(b.Extra, extraImages, "*.tar"))
	if err != nil || len(archives) == 0 {
		return err
	}
	return b.step("extra images", func() error {
		registry, err := mirror.StartRegistry(ctx, mirror.RegistryOptions{
			Program: filepath.Join(b.binaries("registry", RegistryVersion), "registry"), Storage: b.Cache.Registry(),
			Log: filepath.Join(b.Cache.Logs(), "registry.log"),
		})
		if err != nil {
			return err
		}
		for _, archive := range archives {
			if err := b.pushArchive(ctx, registry.Address, archive); err != nil {
				return errors.Join(fmt.Errorf("%s: %w", archive, err), registry.Stop())
			}
		}
		return registry.Stop()
	})
}

// pushArchive pushes every image of an archive under its upstream name.
func (b *builder) pushArchive(ctx context.Context, registry, archive string) error {
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(archive) })
	if err != nil {
		return err
	}
	for _, m := range manifest {
		for _, tag := range m.RepoTags {
			ref, err := name.NewTag(tag)
			if err != nil {
				return err
			}
			img, err := tarball.ImageFromPath(archive, &ref)
			if err != nil {
				return err
			}
			// As in a reference that is written out: docker.io, not index.docker.io.
			full := strings.Replace(ref.Name(), "index.docker.io/", "docker.io/", 1)
			to, err := name.NewTag(registry+"/"+full, name.Insecure)
			if err != nil {
				return err
			}
			if err := remote.Write(to, img, remote.WithContext(ctx)); err != nil {
				return err
			}
			b.line("extra images: %s", full)
		}
	}
	return nil
}

// copyExtraFiles puts upstream's files into the mirror's tree.
func (b *builder) copyExtraFiles() error {
	root := filepath.Join(b.Extra, extraFiles)
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b.line("extra files: %s", rel)
		return writeFile(filepath.Join(b.Cache.Files(), rel), content, 0o644)
	})
}
