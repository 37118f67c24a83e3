package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containers/image/v5/directory"
	"github.com/containers/image/v5/docker/archive"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/oci/layout"
	"github.com/containers/image/v5/types"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// openLayout lists the images of an OCI layout.
func (c *creation) openLayout(out *localFiles, name, dir string) error {
	f, err := os.Open(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		return err
	}
	data, err := readBounded(f, maxIndex)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	names := map[string]bool{}
	var others []string
	for n, d := range index.Manifests {
		if notAnImage(d) {
			continue
		}
		own, err := layoutName(d, name)
		if err != nil {
			return err
		}
		names[d.Annotations[annotationContainerd]+d.Annotations[ocispec.AnnotationRefName]] = true
		ref, err := layout.NewIndexReference(dir, n)
		if err != nil {
			return err
		}
		archs := c.archsOf(d)
		if len(archs) == 0 {
			others = append(others, fmt.Sprintf("%s is for %.50s", own, d.Platform.Architecture))
		}
		for _, arch := range archs {
			out.want = append(out.want, wantedImage{ref: own, arch: arch, local: ref})
		}
	}
	if name != "" && len(names) > 1 {
		return fmt.Errorf("%s can't be the name of all %d images in it", name, len(names))
	}
	if len(others) > 0 && !slices.ContainsFunc(out.want, func(w wantedImage) bool { return w.local.Transport() == layout.Transport }) {
		return fmt.Errorf("%s, not for %s", strings.Join(others, ", "), strings.Join(c.opts.Archs, " or "))
	}
	return nil
}

// notAnImage tells a bundle's own manifest and the attestations that builders
// put beside images.
func notAnImage(d ocispec.Descriptor) bool {
	return d.ArtifactType == ArtifactType || d.Annotations["vnd.docker.reference.type"] != ""
}

// layoutName is an image's reference.
func layoutName(d ocispec.Descriptor, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	for _, a := range []string{annotationContainerd, ocispec.AnnotationRefName} {
		// A word alone is a tag of nobody knows what.
		if ref := d.Annotations[a]; strings.ContainsAny(ref, ":/") {
			return normalizeRef(ref)
		}
	}
	return "", errNameless
}

// errNameless is the error of an image that does not say what it is called.
var errNameless = errors.New("an image in it has no name: give it one with REF=PATH")

// archsOf says for which architectures an image of a layout is to be taken:
// an index for all that are wanted, another for its own when that is wanted.
func (c *creation) archsOf(d ocispec.Descriptor) []string {
	switch {
	case manifest.MIMETypeIsMultiImage(d.MediaType):
		return c.opts.Archs
	case d.Platform == nil || d.Platform.Architecture == "":
		return []string{""}
	case slices.Contains(c.opts.Archs, d.Platform.Architecture):
		return []string{d.Platform.Architecture}
	}
	return nil
}

// openDockerArchive lists the images of an archive of `docker save`.
func (c *creation) openDockerArchive(out *localFiles, name, file string) error {
	reader, err := archive.NewReader(&types.SystemContext{BigFilesTemporaryDir: c.blobs.Dir()}, file)
	if err != nil {
		return err
	}
	out.ends = append(out.ends, reader.Close)
	list, err := reader.List()
	if err != nil {
		return err
	}
	if name != "" && len(list) != 1 {
		return fmt.Errorf("%s can't be the name of all %d images in it", name, len(list))
	}
	for _, refs := range list {
		if name != "" {
			refs = refs[:1]
		}
		for _, ref := range refs {
			own := name
			if own == "" {
				if own, err = dockerName(ref.DockerReference()); err != nil {
					return err
				}
			}
			out.want = append(out.want, wantedImage{ref: own, local: ref})
		}
	}
	return nil
}

func dockerName(named reference.Named) (string, error) {
	if named == nil {
		return "", errNameless
	}
	return normalizeRef(named.String())
}

// openDir takes the one image of a directory.
func (c *creation) openDir(out *localFiles, name, dir string) error {
	if name == "" {
		return errNameless
	}
	f, err := os.Open(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return err
	}
	data, err := readBounded(f, maxManifest)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	ref, err := directory.NewReference(dir)
	if err != nil {
		return err
	}
	archs := []string{""}
	if manifest.MIMETypeIsMultiImage(manifest.GuessMIMEType(data)) {
		archs = c.opts.Archs
	}
	for _, arch := range archs {
		out.want = append(out.want, wantedImage{ref: name, arch: arch, local: ref})
	}
	return nil
}
