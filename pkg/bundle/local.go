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
	"strings"

	"github.com/containers/image/v5/directory"
	"github.com/containers/image/v5/docker/archive"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/oci/layout"
	"github.com/containers/image/v5/pkg/compression"
	"github.com/containers/image/v5/types"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The kinds of local files with images, by their names in
// containers-transports(5). Which one a file is, is seen by looking at it.
const (
	kindDockerArchive = "docker-archive"
	kindOCIArchive    = "oci-archive"
	kindOCI           = "oci"
	kindDir           = "dir"
)

// annotationContainerd is where containerd and docker write an image's whole
// reference when they save it; the annotation of the specification is then only
// the tag.
const annotationContainerd = "io.containerd.image.name"

// localFiles are the images of local files, ready to be opened.
type localFiles struct {
	want []wantedImage
	ends []func() error
}

// close lets go of the files. The images must be closed before.
func (l *localFiles) close() error {
	var err error
	for _, end := range l.ends {
		err = errors.Join(err, end())
	}
	return err
}

// openFiles looks into the local files that images are to be taken from.
func (c *creation) openFiles(ctx context.Context) (*localFiles, error) {
	out := &localFiles{}
	for n, from := range c.opts.From {
		name, file := splitFrom(from)
		if err := c.openFile(ctx, out, n, name, file); err != nil {
			return nil, errors.Join(fmt.Errorf("images of %s: %w", file, err), out.close())
		}
	}
	return out, nil
}

// splitFrom takes REF=PATH apart. A file that has an = in its name is a file.
func splitFrom(from string) (name, file string) {
	name, file, ok := strings.Cut(from, "=")
	if _, err := os.Stat(from); !ok || err == nil {
		return "", from
	}
	return name, file
}

func (c *creation) openFile(ctx context.Context, out *localFiles, n int, name, file string) error {
	if name != "" {
		full, err := normalizeRef(name)
		if err != nil {
			return err
		}
		name = full
	}
	file, err := filepath.Abs(strings.TrimPrefix(file, kindDir+":"))
	if err != nil {
		return err
	}
	kind, err := kindOf(ctx, file)
	if err != nil {
		return err
	}
	before := len(out.want)
	switch kind {
	case kindDockerArchive:
		err = c.openDockerArchive(out, name, file)
	case kindOCIArchive:
		file, err = c.unpackOCIArchive(ctx, out, n, file)
		if err == nil {
			err = c.openLayout(out, name, file)
		}
	case kindOCI:
		err = c.openLayout(out, name, file)
	default:
		err = c.openDir(out, name, file)
	}
	if err == nil && len(out.want) == before {
		err = errors.New("there is no image in it")
	}
	for i := before; i < len(out.want); i++ {
		out.want[i].transport, out.want[i].shared = kind, kind == kindOCIArchive
		out.want[i].roles = nodeRoles()
	}
	return err
}

// kindOf tells what a file is. Newer versions of docker save archives that are
// both; the OCI's half keeps the images as they were.
func kindOf(ctx context.Context, file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	has := map[string]bool{}
	if info.IsDir() {
		for _, name := range []string{ocispec.ImageLayoutFile, ocispec.ImageIndexFile, "manifest.json", "version"} {
			_, err := os.Stat(filepath.Join(file, name))
			has[name] = err == nil
		}
	} else {
		err := readTar(ctx, file, func(h *tar.Header, _ io.Reader) error {
			has[path.Clean(h.Name)] = true
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	switch oci := has[ocispec.ImageLayoutFile] && has[ocispec.ImageIndexFile]; {
	case oci && info.IsDir():
		return kindOCI, nil
	case oci:
		return kindOCIArchive, nil
	case has["manifest.json"] && has["version"] && info.IsDir():
		return kindDir, nil
	case has["manifest.json"] && !info.IsDir():
		return kindDockerArchive, nil
	}
	return "", errors.New("it is none of: an archive of `docker save`, an OCI archive or layout, a directory of `skopeo copy ... dir:`")
}

// readTar goes through the plain files of an archive, which may be compressed.
func readTar(ctx context.Context, file string, each func(*tar.Header, io.Reader) error) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	plain, packed, err := compression.AutoDecompress(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	stream := io.Reader(plain)
	if !packed {
		// The file itself can be skipped through.
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		stream = f
	}
	entries := 0
	for r := tar.NewReader(stream); ; entries++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) && entries > 0 {
			return nil
		}
		if err == nil && entries > maxEntries {
			err = fmt.Errorf("there are more than %d files in it", maxEntries)
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("it is not a whole archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := each(h, &contextReader{ctx: ctx, r: r}); err != nil {
			return err
		}
	}
}

// unpackOCIArchive puts an archive's blobs into the store, each checked, and
// its index into a directory that is a layout without blobs. No name in the
// archive becomes a path, and links are left out.
func (c *creation) unpackOCIArchive(ctx context.Context, out *localFiles, n int, file string) (dir string, err error) {
	dir = filepath.Join(c.blobs.Dir(), "from", strconv.Itoa(n))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	out.ends = append(out.ends, func() error { return os.RemoveAll(dir) })
	step := c.steps.start("bundle/from/"+strconv.Itoa(n), "read "+file)
	var read int64
	err = readTar(ctx, file, func(h *tar.Header, r io.Reader) error {
		name := path.Clean(h.Name)
		switch hex, blob := strings.CutPrefix(name, blobPrefix); {
		case name == ocispec.ImageLayoutFile || name == ocispec.ImageIndexFile:
			data, err := readBounded(r, maxIndex)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return os.WriteFile(filepath.Join(dir, name), data, 0o644)
		case blob:
			b := Blob{Digest: digest.NewDigestFromEncoded(digest.SHA256, hex), Size: h.Size}
			read += h.Size
			step.progress(read, -1)
			if c.blobs.Has(b) {
				return nil
			}
			return c.blobs.Put(ctx, b, r)
		}
		return nil
	})
	return dir, step.end(err)
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it is larger than %s", formatBytes(limit))
	}
	return data, err
}

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
