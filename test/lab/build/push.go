package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
	"github.com/kubectl-ha/kubectl-ha/test/lab/mirror"
)

// searchPath is the PATH in every image.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// pushImages makes the images and pushes them into the mirror's registry, which
// runs for that long on a loopback address.
func (b *builder) pushImages(ctx context.Context, images []image) error {
	marks := map[string]string{}
	for _, img := range images {
		mark := filepath.Join(b.Cache.Marks(), cache.Key("image", "", fmt.Sprintf("%q", img), "1"))
		if _, err := os.Stat(mark); errors.Is(err, os.ErrNotExist) {
			marks[img.ref] = mark
		} else if err != nil {
			return err
		}
	}
	if len(marks) == 0 {
		b.line("images: cached")
		return nil
	}
	return b.step("images", func() error {
		program := filepath.Join(b.binaries("registry", RegistryVersion), "registry")
		registry, err := mirror.StartRegistry(ctx, mirror.RegistryOptions{
			Program: program, Storage: b.Cache.Registry(), Log: filepath.Join(b.Cache.Logs(), "registry.log"),
		})
		if err != nil {
			return err
		}
		for _, img := range images {
			mark, wanted := marks[img.ref]
			if !wanted {
				continue
			}
			if err := b.pushImage(ctx, registry.Address, img); err != nil {
				return errors.Join(fmt.Errorf("image %s: %w", img.ref, err), registry.Stop())
			}
			if err := writeFile(mark, []byte(img.ref+"\n"), 0o644); err != nil {
				return errors.Join(err, registry.Stop())
			}
			b.line("images: %s", img.ref)
		}
		return registry.Stop()
	})
}

// pushImage makes one image and pushes it under <registry>/<upstream reference>.
// As upstream's, it is an index with an entry per platform; here there is one.
func (b *builder) pushImage(ctx context.Context, registry string, img image) error {
	made, err := b.makeImage(img)
	if err != nil {
		return err
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add:        made,
		Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}},
	})
	ref, err := name.NewTag(registry+"/"+img.ref, name.Insecure)
	if err != nil {
		return err
	}
	return remote.WriteIndex(ref, index, remote.WithContext(ctx))
}

// makeImage puts an image together from its layers.
func (b *builder) makeImage(img image) (v1.Image, error) {
	layers := img.base
	if len(img.files) > 0 {
		key := cache.Key("layer", "", fmt.Sprintf("%q", img.files), "1")
		err := b.Cache.Make(key, func(dir string) error { return writeTarGz(filepath.Join(dir, "layer.tar.gz"), img.files) })
		if err != nil {
			return nil, err
		}
		layers = append(append([]string{}, layers...), filepath.Join(b.Cache.Build(key), "layer.tar.gz"))
	}
	made := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, path := range layers {
		layer, err := tarball.LayerFromFile(path, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, err
		}
		if made, err = mutate.Append(made, mutate.Addendum{Layer: layer, MediaType: types.OCILayer}); err != nil {
			return nil, err
		}
	}
	config, err := made.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config.Env = []string{searchPath}
	config.Config.Entrypoint, config.Config.Cmd = img.entrypoint, img.cmd
	return mutate.ConfigFile(made, config)
}
