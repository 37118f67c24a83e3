package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/containers/image/v5/pkg/compression"
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

// fromFile is one of CreateOptions.From.
type fromFile struct {
	// name is for the image, empty for the one that the file says.
	name string
	// given is how the file was written, path where it is.
	given, path string
	// index is the one image of the file that is wanted, -1 for all.
	index int
}

// openFiles looks into the local files that images are to be taken from, each once.
func (c *creation) openFiles(ctx context.Context) (_ *localFiles, err error) {
	out := &localFiles{}
	if err := os.MkdirAll(c.blobs.Dir(), 0o755); err != nil {
		return nil, err
	}
	var froms []fromFile
	// single are the images that are wanted one by one: who takes all of the file need not name those.
	single := map[string][]int{}
	for _, text := range c.opts.From {
		f, err := parseFrom(text)
		if err != nil {
			return nil, fmt.Errorf("images of %s: %w", text, err)
		}
		if f.index >= 0 {
			single[f.path] = append(single[f.path], f.index)
		}
		froms = append(froms, f)
	}
	opened := map[string]localFile{}
	for n, f := range froms {
		file, ok := opened[f.path]
		if !ok {
			if file, err = c.openFile(ctx, out, n, f.path); err != nil {
				return nil, errors.Join(fmt.Errorf("images of %s: %w", f.given, err), out.close())
			}
			opened[f.path] = file
		}
		want, err := f.choose(file, single[f.path], c.opts.Archs)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("images of %s: %w", f.given, err), out.close())
		}
		out.want = append(out.want, want...)
	}
	return out, nil
}

// atIndex is how one image of a file is named, as in containers-transports(5).
var atIndex = regexp.MustCompile(`^(.+):@([0-9]{1,6})$`)

// parseFrom takes [REF=]PATH[:@INDEX] apart. A file that is called so as a whole is a file.
func parseFrom(text string) (fromFile, error) {
	name, given := splitFrom(text)
	f := fromFile{given: given, index: -1}
	if m := atIndex.FindStringSubmatch(given); m != nil && !exists(given) {
		// The expression admits digits only, and few.
		f.index, _ = strconv.Atoi(m[2])
		f.given = m[1]
	}
	if name != "" {
		full, err := normalizeRef(name)
		if err != nil {
			return f, err
		}
		f.name = full
	}
	var err error
	f.path, err = filepath.Abs(strings.TrimPrefix(f.given, kindDir+":"))
	return f, err
}

// splitFrom takes REF=PATH apart. A file that has an = in its name is a file.
func splitFrom(from string) (name, file string) {
	name, file, ok := strings.Cut(from, "=")
	if !ok || exists(from) || atIndex.MatchString(from) && exists(atIndex.FindStringSubmatch(from)[1]) {
		return "", from
	}
	return name, file
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func (c *creation) openFile(ctx context.Context, out *localFiles, n int, file string) (localFile, error) {
	kind, contents, err := kindOf(ctx, file)
	if err != nil {
		return localFile{}, err
	}
	f := localFile{kind: kind}
	switch kind {
	case kindDockerArchive:
		f.shared = true
		f.images, err = c.openDockerArchive(ctx, out, n, file, contents)
	case kindOCIArchive:
		f.shared = true
		if file, err = c.unpackOCIArchive(ctx, out, n, file); err == nil {
			f.images, err = c.openLayout(file, c.blobs)
		}
	case kindOCI:
		f.images, err = c.openLayout(file, OpenStore(file))
	default:
		f.images, err = c.openDir(file)
	}
	if err == nil && len(f.images) == 0 {
		err = errors.New("there is no image in it")
	}
	return f, err
}

// kindOf tells what a file is, and what is in it if it is an archive. Newer versions of
// docker save archives that are both; the OCI's half keeps the images as they were.
func kindOf(ctx context.Context, file string) (string, tarContents, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", tarContents{}, err
	}
	c := tarContents{files: map[string]bool{}}
	if info.IsDir() {
		for _, name := range []string{ocispec.ImageLayoutFile, ocispec.ImageIndexFile, dockerManifest, "version"} {
			c.files[name] = exists(filepath.Join(file, name))
		}
	} else if c, err = contentsOf(ctx, file); err != nil {
		return "", c, err
	}
	has := c.files
	switch oci := has[ocispec.ImageLayoutFile] && has[ocispec.ImageIndexFile]; {
	case oci && info.IsDir():
		return kindOCI, c, nil
	case oci:
		return kindOCIArchive, c, nil
	case has[dockerManifest] && has["version"] && info.IsDir():
		return kindDir, c, nil
	case has[dockerManifest] && !info.IsDir():
		return kindDockerArchive, c, nil
	}
	return "", c, errors.New("it is none of: an archive of `docker save`, an OCI archive or layout, a directory of `skopeo copy ... dir:`")
}

// readTar goes through the plain files and the links of an archive, which may be
// compressed.
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
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeSymlink && h.Typeflag != tar.TypeLink {
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
	if dir, err = c.layoutDir(out); err != nil {
		return "", err
	}
	step := c.steps.start("bundle/from/"+strconv.Itoa(n), "read "+file)
	var read int64
	err = readTar(ctx, file, func(h *tar.Header, r io.Reader) error {
		name := path.Clean(h.Name)
		switch hex, blob := strings.CutPrefix(name, blobPrefix); {
		case h.Typeflag != tar.TypeReg:
			return nil
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

// layoutDir makes a directory for a layout without blobs, which is removed at the end.
func (c *creation) layoutDir(out *localFiles) (string, error) {
	dir, err := os.MkdirTemp(c.blobs.Dir(), "from-*")
	if err == nil {
		out.ends = append(out.ends, func() error { return os.RemoveAll(dir) })
	}
	return dir, err
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it is larger than %s", formatBytes(limit))
	}
	return data, err
}
