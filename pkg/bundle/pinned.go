package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
)

// PinnedFile is a file that upstream publishes, and what it must be.
type PinnedFile struct {
	// URL is upstream's, without any mirror.
	URL string
	// SHA256 is the hex digest of its content.
	SHA256 string
}

// MediaTypeManifest is the media type of a file's blob.
const MediaTypeManifest = "application/vnd.kubectl-ha.manifest.v1+yaml"

// maxPinned bounds a pinned file, in bytes: manifests are far smaller.
const maxPinned = 16 << 20

func (p PinnedFile) digest() digest.Digest {
	return digest.NewDigestFromEncoded(digest.SHA256, p.SHA256)
}

// FetchFile downloads a pinned file, by a mirror when there is one. What comes is
// compared with its checksum.
func FetchFile(ctx context.Context, p PinnedFile, mirror string) (content []byte, err error) {
	dir, err := os.MkdirTemp("", "kubectl-ha-file-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	store := OpenStore(dir)
	d := &downloader{client: defaultClient(), mirror: mirror, store: store}
	if err := d.pinned(ctx, p, func(error) {}); err != nil {
		return nil, err
	}
	r, err := store.Open(p.digest())
	if err != nil {
		return nil, err
	}
	content, err = io.ReadAll(io.LimitReader(r, maxPinned+1))
	return content, errors.Join(err, r.Close())
}

// pinned downloads a file whose digest is known beforehand into the store.
func (d *downloader) pinned(ctx context.Context, p PinnedFile, note func(error)) error {
	if err := checkDigest(p.digest()); err != nil {
		return fmt.Errorf("download %s: %w", p.URL, err)
	}
	if f, err := d.store.Open(p.digest()); err == nil {
		if err := errors.Join(f.Close(), d.store.Verify(ctx, p.digest())); err == nil {
			return nil
		}
	}
	from, err := mirrored(p.URL, d.mirror)
	if err != nil {
		return err
	}
	w, err := d.store.writer(Blob{Digest: p.digest(), Size: -1})
	if err != nil {
		return err
	}
	if err := d.fill(ctx, w, from, nil, note); err != nil {
		return errors.Join(fmt.Errorf("download %s: %w", p.URL, err), w.abandon(err))
	}
	if err := w.Commit(); err != nil {
		if errors.Is(err, errDigest) {
			return fmt.Errorf("%s is not the file with the SHA-256 %s that was looked at, and was thrown away; check the mirror, or a proxy on the way: %w", from, p.SHA256, err)
		}
		return fmt.Errorf("download %s: %w", p.URL, err)
	}
	return nil
}

// files brings the pinned files into the bundle's blobs.
func (c *creation) files(ctx context.Context) ([]File, error) {
	if len(c.opts.Files) == 0 {
		return nil, nil
	}
	all := c.steps.start("bundle/files", "download manifests")
	d := &downloader{client: c.opts.HTTPClient, mirror: c.opts.Mirror, store: c.blobs}
	var out []File
	for _, p := range c.opts.Files {
		if err := d.pinned(ctx, p, c.again); err != nil {
			return nil, all.end(err)
		}
		info, err := os.Stat(c.blobs.Path(p.digest()))
		if err != nil {
			return nil, all.end(err)
		}
		out = append(out, File{Name: p.URL[strings.LastIndex(p.URL, "/")+1:], Source: p.URL,
			Blob: Blob{Digest: p.digest(), Size: info.Size(), MediaType: MediaTypeManifest}})
	}
	return out, all.end(nil)
}

func checkFile(f File) error {
	if f.Name == "" || strings.ContainsAny(f.Name, "/\\") || !strings.HasPrefix(f.Source, "https://") {
		return fmt.Errorf("%.200q is not where a file comes from", f.Source)
	}
	if f.Blob.Size <= 0 || f.Blob.Size > maxPinned {
		return fmt.Errorf("a size of %d bytes can't be", f.Blob.Size)
	}
	return checkDigest(f.Blob.Digest)
}

// defaultClient has the environment's proxies, and no patience with silence.
func defaultClient() *http.Client {
	return &http.Client{Transport: defaultTransport()}
}
