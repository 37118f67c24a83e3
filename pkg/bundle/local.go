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

// openFiles looks into the local files that images are to be taken from.
func (c *creation) openFiles(ctx context.Context) (*localFiles, error) {
	out := &localFiles{}
	if err := os.MkdirAll(c.blobs.Dir(), 0o755); err != nil {
		return nil, err
	}
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
	if dir, err = os.MkdirTemp(c.blobs.Dir(), "from-*"); err != nil {
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
