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
	"path/filepath"
	"slices"
	"strconv"

	"github.com/containers/image/v5/docker/archive"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/oci/layout"
	"github.com/containers/image/v5/pkg/compression"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// dockerManifest is the file that lists the images of a docker archive.
const dockerManifest = "manifest.json"

// maxLinks bounds how many links lead to a layer; those that are written are one.
const maxLinks = 8

// dockerImage is an image in that list.
// https://github.com/moby/docker-image-spec/blob/main/v1.2.md#combined-image-json--filesystem-changeset-format
type dockerImage struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

// tarContents is what an archive has, by cleaned names.
type tarContents struct {
	files map[string]bool
	// links are names that stand for other files: Docker before 25 has a symbolic link for
	// a layer that another image of the archive has too.
	links map[string]string
	// manifest is the content of dockerManifest.
	manifest []byte
}

// contentsOf reads the names in an archive, which may be compressed.
func contentsOf(ctx context.Context, file string) (tarContents, error) {
	c := tarContents{files: map[string]bool{}, links: map[string]string{}}
	err := readTar(ctx, file, func(h *tar.Header, r io.Reader) (err error) {
		name := path.Clean(h.Name)
		if c.files[name] || c.links[name] != "" {
			return nil // The first one counts.
		}
		switch h.Typeflag {
		case tar.TypeSymlink:
			c.links[name] = path.Join(path.Dir(name), h.Linkname)
		case tar.TypeLink:
			// Such a link counts from the archive's top.
			c.links[name] = path.Clean(h.Linkname)
		default:
			c.files[name] = true
			if name == dockerManifest {
				if c.manifest, err = readBounded(r, maxIndex); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		return nil
	})
	return c, err
}

// resolve is the file that a name stands for. Links lead to files of the archive only:
// names are compared, and none becomes a path.
func (c tarContents) resolve(name string) (string, error) {
	at := path.Clean(name)
	for range maxLinks {
		if c.files[at] {
			return at, nil
		}
		if at = c.links[at]; at == "" {
			return "", fmt.Errorf("%.200q is not in it", name)
		}
	}
	return "", fmt.Errorf("%.200q is a link that leads nowhere", name)
}

// dockerParts are the configs and layers of a docker archive's images, by file.
type dockerParts struct {
	configs map[string][]byte
	layers  map[string]Blob
}

// openDockerArchive puts the images of an archive of `docker save` into the store, where
// they are an OCI layout's, as an OCI archive's are: the library's own reader takes a
// layer that is a link for one of 0 bytes. The layers are unpacked, since the configs
// have the sums of such.
func (c *creation) openDockerArchive(ctx context.Context, out *localFiles, n int, file string, contents tarContents) ([]localImage, error) {
	var listed []dockerImage
	if err := json.Unmarshal(contents.manifest, &listed); err != nil {
		return nil, fmt.Errorf("%s: %w", dockerManifest, err)
	}
	parts := dockerParts{configs: map[string][]byte{}, layers: map[string]Blob{}}
	for i := range listed {
		if err := parts.want(&listed[i], contents); err != nil {
			return nil, fmt.Errorf("image @%d in it: %w", i, err)
		}
	}
	step := c.steps.start("bundle/from/"+strconv.Itoa(n), "read "+file)
	if err := step.end(parts.read(ctx, c.blobs, file, step)); err != nil {
		return nil, err
	}
	dir, err := c.layoutDir(out)
	if err != nil {
		return nil, err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	var images []localImage
	for i, one := range listed {
		own, err := parts.store(ctx, c.blobs, one)
		if err != nil {
			return nil, fmt.Errorf("image @%d in it: %w", i, err)
		}
		index.Manifests = append(index.Manifests, own)
		ref, err := layout.NewIndexReference(dir, i)
		if err != nil {
			return nil, err
		}
		image := localImage{index: i, id: digest.FromBytes(parts.configs[one.Config]), ref: dockerArchiveReference{ref}, archs: []string{""}}
		for _, tag := range one.RepoTags {
			full, err := normalizeRef(tag)
			if err != nil {
				return nil, err
			}
			image.names = append(image.names, full)
		}
		images = append(images, image)
	}
	data, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	return images, errors.Join(os.WriteFile(filepath.Join(dir, ocispec.ImageIndexFile), data, 0o644),
		os.WriteFile(filepath.Join(dir, ocispec.ImageLayoutFile), []byte(`{"imageLayoutVersion":"`+ocispec.ImageLayoutVersion+`"}`), 0o644))
}

// want notes which files an image needs, and makes its names those of the files.
func (p dockerParts) want(one *dockerImage, contents tarContents) (err error) {
	if one.Config, err = contents.resolve(one.Config); err != nil {
		return fmt.Errorf("its config: %w", err)
	}
	p.configs[one.Config] = nil
	if len(one.Layers) > maxLayers {
		return fmt.Errorf("it has %d layers, more than %d", len(one.Layers), maxLayers)
	}
	for i := range one.Layers {
		if one.Layers[i], err = contents.resolve(one.Layers[i]); err != nil {
			return fmt.Errorf("its layer: %w", err)
		}
		p.layers[one.Layers[i]] = Blob{}
	}
	return nil
}

// read takes what is wanted out of the archive: layers go into the store.
func (p dockerParts) read(ctx context.Context, store *Store, file string, step *step) error {
	var read int64
	return readTar(ctx, file, func(h *tar.Header, r io.Reader) (err error) {
		name := path.Clean(h.Name)
		config, isConfig := p.configs[name]
		layer, isLayer := p.layers[name]
		switch {
		case h.Typeflag != tar.TypeReg:
			return nil
		case isConfig && config == nil:
			if p.configs[name], err = readBounded(r, maxConfig); err != nil {
				return fmt.Errorf("config %.200q: %w", name, err)
			}
		case isLayer && layer.Digest == "":
			if p.layers[name], err = unpackLayer(store, r); err != nil {
				return fmt.Errorf("layer %.200q: %w", name, err)
			}
		default:
			return nil
		}
		read += h.Size
		step.progress(read, -1)
		return nil
	})
}

func unpackLayer(store *Store, packed io.Reader) (_ Blob, err error) {
	plain, _, err := compression.AutoDecompress(packed)
	if err != nil {
		return Blob{}, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	blob, err := store.putUnknown(func(w io.Writer) error {
		n, err := io.Copy(w, io.LimitReader(plain, maxBlob+1))
		if err == nil && n > maxBlob {
			err = fmt.Errorf("it is larger than %s", formatBytes(maxBlob))
		}
		return err
	})
	blob.MediaType = manifest.DockerV2Schema2LayerMediaType
	return blob, err
}

// store writes an image's config and a manifest for it, once the layers are those that
// the config names. The manifest is the one that the library makes of such an archive, so
// that an image is the same whoever read it; its type for layers says "gzip" for plain ones.
func (p dockerParts) store(ctx context.Context, store *Store, one dockerImage) (ocispec.Descriptor, error) {
	var parsed struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	config := p.configs[one.Config]
	if err := json.Unmarshal(config, &parsed); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("its config %.200q: %w", one.Config, err)
	}
	var layers []digest.Digest
	described := []manifest.Schema2Descriptor{} // An image without layers has an empty list, not null.
	for _, name := range one.Layers {
		b := p.layers[name]
		layers = append(layers, b.Digest)
		described = append(described, manifest.Schema2Descriptor{MediaType: b.MediaType, Digest: b.Digest, Size: b.Size})
	}
	if !slices.Equal(layers, parsed.RootFS.DiffIDs) {
		return ocispec.Descriptor{}, fmt.Errorf("its layers are %v, but %.200q wants %v: %w", layers, one.Config, parsed.RootFS.DiffIDs, errDigest)
	}
	about := descriptorOf(manifest.DockerV2Schema2ConfigMediaType, config)
	data, err := manifest.Schema2FromComponents(manifest.Schema2Descriptor{MediaType: about.MediaType, Digest: about.Digest, Size: about.Size}, described).Serialize()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	own := descriptorOf(manifest.DockerV2Schema2MediaType, data)
	for _, part := range []struct {
		ocispec.Descriptor
		content []byte
	}{{about, config}, {own, data}} {
		if err := store.putBytes(ctx, Blob{Digest: part.Digest, Size: part.Size}, part.content); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	return own, nil
}

func descriptorOf(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// dockerArchiveReference is an image that was in a docker archive: a signature policy
// judges it as such, and not as one of a layout that its owner has made.
// containers-policy.json(5), "docker-archive"
type dockerArchiveReference struct{ types.ImageReference }

func (dockerArchiveReference) Transport() types.ImageTransport         { return archive.Transport }
func (dockerArchiveReference) PolicyConfigurationIdentity() string     { return "" }
func (dockerArchiveReference) PolicyConfigurationNamespaces() []string { return nil }
func (r dockerArchiveReference) NewImageSource(ctx context.Context, sys *types.SystemContext) (types.ImageSource, error) {
	source, err := r.ImageReference.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	return dockerArchiveSource{source, r}, nil
}

type dockerArchiveSource struct {
	types.ImageSource
	ref types.ImageReference
}

func (s dockerArchiveSource) Reference() types.ImageReference { return s.ref }
