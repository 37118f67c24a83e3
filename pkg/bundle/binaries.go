package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// MediaTypeBinary is the media type of a host binary's blob.
const MediaTypeBinary = "application/vnd.kubectl-ha.binary.v1+zstd"

// maxBinary bounds one binary, in bytes, so that a small archive can't unpack
// into a full disk.
const maxBinary = 1 << 30

// binaryName is what a binary may be called: it becomes a path on hosts.
var binaryName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// packBinaries makes the blobs of a download that is in the from store.
func packBinaries(ctx context.Context, item download, file digest.Digest, from, to *Store) ([]Binary, error) {
	f, err := from.Open(file)
	if err != nil {
		return nil, err
	}
	var out []Binary
	if item.members == nil {
		var b Binary
		b, err = packBinary(ctx, item, item.name, f, to)
		out = append(out, b)
	} else {
		out, err = packArchive(ctx, item, f, to)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", item.file(), err)
	}
	return out, nil
}

// packArchive takes the wanted members of a tar.gz.
func packArchive(ctx context.Context, item download, r io.Reader, to *Store) ([]Binary, error) {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	var out []Binary
	for archive := tar.NewReader(zr); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg || !item.wants(path.Clean(h.Name), h.Mode) {
			continue
		}
		b, err := packBinary(ctx, item, path.Base(h.Name), archive, to)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, item.complete(out)
}

// wants tells whether a member of the archive is a binary to take.
func (d download) wants(name string, mode int64) bool {
	if slices.Contains(d.members, "*") {
		return path.Dir(name) == "." && mode&0o111 != 0
	}
	return slices.Contains(d.members, name)
}

// complete checks that an archive held what it should.
func (d download) complete(got []Binary) error {
	if len(got) == 0 {
		return errors.New("there is no binary in it")
	}
	names := map[string]bool{}
	for _, b := range got {
		if names[b.Name] {
			return fmt.Errorf("%s is in it twice", b.Name)
		}
		names[b.Name] = true
	}
	for _, m := range d.members {
		if m != "*" && !names[path.Base(m)] {
			return fmt.Errorf("%s is not in it", m)
		}
	}
	return nil
}

// packBinary compresses one binary into a blob.
func packBinary(ctx context.Context, item download, name string, r io.Reader, to *Store) (Binary, error) {
	if !binaryName.MatchString(name) {
		return Binary{}, fmt.Errorf("%.80q is not a name for a binary", name)
	}
	in := &counter{hash: sha256.New(), w: io.Discard}
	blob, err := to.putUnknown(func(w io.Writer) error {
		return compress(w, io.TeeReader(io.LimitReader(&contextReader{ctx: ctx, r: r}, maxBinary+1), in))
	})
	if err != nil {
		return Binary{}, fmt.Errorf("%s: %w", name, err)
	}
	if in.n == 0 || in.n > maxBinary {
		return Binary{}, fmt.Errorf("%s: a size of %d bytes is not that of a binary", name, in.n)
	}
	blob.MediaType = MediaTypeBinary
	return Binary{
		Name: name, Component: item.component, Version: item.version,
		Path: path.Join(item.dir, name), Arch: item.arch, Mode: 0o755,
		Blob: blob, SHA256: hex.EncodeToString(in.hash.Sum(nil)), Size: in.n,
		Source: item.url, Check: item.check(), For: slices.Clone(item.roles),
	}, nil
}

// check says by what the download is known.
func (d download) check() Check {
	if d.digest != "" {
		return CheckRelease
	}
	return CheckOrigin
}

// compress is deterministic: one goroutine, one level.
func compress(w io.Writer, r io.Reader) error {
	zw, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return err
	}
	_, err = io.Copy(zw, r)
	return errors.Join(err, zw.Close())
}

// Decompress gives a binary's content from its blob. The reader ends with an
// error when the content is longer than Size; the caller compares SHA256.
func (b Binary) Decompress(blob io.Reader) (io.ReadCloser, error) {
	zr, err := zstd.NewReader(blob, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, fmt.Errorf("decompress %s: %w", b.Name, err)
	}
	rc := zr.IOReadCloser()
	return struct {
		io.Reader
		io.Closer
	}{&exactReader{r: rc, left: b.Size, name: b.Name}, rc}, nil
}

// exactReader fails when there is more or less than what was announced.
type exactReader struct {
	r    io.Reader
	left int64
	name string
}

func (e *exactReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if e.left < 0 {
		return n, fmt.Errorf("%s is longer than it should be: %w", e.name, errDigest)
	}
	if errors.Is(err, io.EOF) && e.left > 0 {
		return n, fmt.Errorf("%s is %d bytes shorter than it should be: %w", e.name, e.left, errDigest)
	}
	return n, err
}
