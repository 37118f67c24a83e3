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
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/oci/layout"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// localFile is a file with images that has been looked into.
type localFile struct {
	kind   string
	images []localImage
	// shared: its blobs are in the store.
	shared bool
}

// localImage is an image in a local file.
type localImage struct {
	// index is its place in the file, from 0.
	index int
	// id is what it is called where it has no name: the digest of its config, or of an index.
	id digest.Digest
	// names are those that the file says; none when it says none.
	names []string
	ref   types.ImageReference
	// archs are those that it is taken for: "" for its own, whatever that is; none when
	// it is for another one, platform, than the bundle.
	archs    []string
	platform string
}

// openLayout lists the images of an OCI layout, whose blobs are in the store.
func (c *creation) openLayout(dir string, blobs *Store) ([]localImage, error) {
	f, err := os.Open(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		return nil, err
	}
	data, err := readBounded(f, maxIndex)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	var out []localImage
	for n, d := range index.Manifests {
		if notAnImage(d) {
			continue
		}
		one := localImage{index: n, archs: c.archsOf(d)}
		if d.Platform != nil {
			one.platform = d.Platform.Architecture
		}
		if one.names, err = layoutNames(d); err != nil {
			return nil, err
		}
		one.id = idOf(d, blobs)
		if one.ref, err = layout.NewIndexReference(dir, n); err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// notAnImage tells a bundle's own manifest, the attestations that builders put beside
// images, and what `cosign save` puts there: signatures, attestations, lists of parts.
// https://github.com/sigstore/cosign/blob/main/pkg/oci/layout/index.go
func notAnImage(d ocispec.Descriptor) bool {
	kind, cosign := strings.CutPrefix(d.Annotations["kind"], "dev.cosignproject.cosign/")
	return d.ArtifactType == ArtifactType || d.Annotations["vnd.docker.reference.type"] != "" ||
		cosign && kind != "image" && kind != "imageIndex"
}

// layoutNames are an image's references.
func layoutNames(d ocispec.Descriptor) ([]string, error) {
	for _, a := range []string{annotationContainerd, ocispec.AnnotationRefName} {
		// A word alone is a tag of nobody knows what.
		if ref := d.Annotations[a]; strings.ContainsAny(ref, ":/") {
			full, err := normalizeRef(ref)
			return []string{full}, err
		}
	}
	return nil, nil
}

// idOf is what programs without a name for it call an image. It is for messages: what
// can't be read is said when the image is taken.
func idOf(d ocispec.Descriptor, blobs *Store) digest.Digest {
	f, err := blobs.Open(d.Digest)
	if err != nil {
		return d.Digest
	}
	defer f.Close() //nolint:errcheck // only read
	var m ocispec.Manifest
	data, err := readBounded(f, maxManifest)
	if err != nil || json.Unmarshal(data, &m) != nil || m.Config.Digest == "" {
		return d.Digest
	}
	return m.Config.Digest
}

// choose says what is wanted of a file. single are the images that are also wanted by
// their index, and so need no name here.
func (f fromFile) choose(file localFile, single []int, archs []string) ([]wantedImage, error) {
	images := file.images
	if f.index >= 0 {
		if images = slices.DeleteFunc(slices.Clone(images), func(i localImage) bool { return i.index != f.index }); len(images) == 0 {
			return nil, fmt.Errorf("there is no image @%d in it; there are %s", f.index, tellImages(file.images))
		}
	} else {
		images = slices.DeleteFunc(slices.Clone(images), func(i localImage) bool { return f.nameOf(i) == nil && slices.Contains(single, i.index) })
	}
	if err := f.checkNames(images); err != nil {
		return nil, err
	}
	var out []wantedImage
	var others []string
	for _, i := range images {
		if len(i.archs) == 0 {
			others = append(others, fmt.Sprintf("%s is for %.50s", f.nameOf(i)[0], i.platform))
		}
		for _, name := range f.nameOf(i) {
			for _, arch := range i.archs {
				out = append(out, wantedImage{ref: name, arch: arch, local: i.ref, shared: file.shared, transport: file.kind, roles: nodeRoles()})
			}
		}
	}
	if len(out) == 0 && len(others) > 0 {
		return nil, fmt.Errorf("%s, not for %s", strings.Join(others, ", "), strings.Join(archs, " or "))
	}
	return out, nil
}

// nameOf are the names under which an image is taken; none when it has none.
func (f fromFile) nameOf(i localImage) []string {
	if f.name != "" {
		return []string{f.name}
	}
	return i.names
}

// checkNames refuses images without a name, and a name that would be several images'.
// Both errors say which images there are and how each gets a name.
func (f fromFile) checkNames(images []localImage) error {
	if f.name != "" {
		type key struct{ names, arch string }
		names, platforms := map[string]bool{}, map[key]digest.Digest{}
		for _, i := range images {
			own := strings.Join(i.names, " ")
			names[own] = true
			at := key{own, i.platform}
			if other, ok := platforms[at]; ok && other != i.id {
				names[i.id.String()] = true
			}
			platforms[at] = i.id
		}
		if len(names) > 1 {
			return fmt.Errorf("%s can't be the name of all %d images in it; take one each, with REF=%s:@INDEX: there are %s", f.name, len(images), f.given, tellImages(images))
		}
		return nil
	}
	nameless := slices.DeleteFunc(slices.Clone(images), func(i localImage) bool { return len(i.names) > 0 })
	switch {
	case len(nameless) == 0:
		return nil
	case len(images) == 1 && f.index < 0:
		return fmt.Errorf("the image in it (%s) has no name: give it one with REF=%s", shortID(nameless[0].id), f.given)
	}
	var how []string
	for _, i := range nameless {
		how = append(how, fmt.Sprintf("REF=%s:@%d", f.given, i.index))
	}
	return fmt.Errorf("of the images in it these have no name: %s; give each one, with %s", tellImages(nameless), strings.Join(how, " and "))
}

// tellImages lists images for people.
func tellImages(images []localImage) string {
	const most = 20
	var out []string
	for _, i := range images[:min(len(images), most)] {
		text := fmt.Sprintf("@%d", i.index)
		if len(i.names) > 0 {
			text += " " + strings.Join(i.names, " ")
		}
		out = append(out, text+" ("+shortID(i.id)+")")
	}
	if len(images) > most {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}

// shortID is a digest as docker and podman show it in their lists.
func shortID(d digest.Digest) string {
	if checkDigest(d) != nil {
		return "without an ID"
	}
	return "ID " + d.Encoded()[:12]
}

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

// openDir takes the one image of a directory, which says no name.
func (c *creation) openDir(dir string) ([]localImage, error) {
	f, err := os.Open(filepath.Join(dir, dockerManifest))
	if err != nil {
		return nil, err
	}
	data, err := readBounded(f, maxManifest)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	ref, err := directory.NewReference(dir)
	if err != nil {
		return nil, err
	}
	one := localImage{ref: ref, id: digest.FromBytes(data), archs: []string{""}}
	var m ocispec.Manifest
	if manifest.MIMETypeIsMultiImage(manifest.GuessMIMEType(data)) {
		one.archs = c.opts.Archs
	} else if json.Unmarshal(data, &m) == nil && m.Config.Digest != "" {
		one.id = m.Config.Digest
	}
	return []localImage{one}, nil
}
