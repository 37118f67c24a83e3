package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// roots are what is kept of a host, as far as it is there: all that can't be made
// again from the Cluster file.
var roots = []string{
	"/etc/kubernetes", "/etc/etcd",
	"/var/lib/kubelet/config.yaml", "/var/lib/kubelet/instance-config.yaml", "/var/lib/kubelet/kubeadm-flags.env", "/var/lib/kubelet/pki",
}

// left are directories within the roots that are not kept: kubeadm's own copies
// of what it replaced.
var left = []string{"/etc/kubernetes/tmp"}

// entry is what must be found again in the archive.
type entry struct {
	mode   int64
	sha256 [sha256.Size]byte
	link   string
}

// archive packs the host's files, and reads them back.
func archive(ctx context.Context, h *host.Host, to string) (Archive, error) {
	wrote := map[string]entry{}
	var size int64
	fill := func(w io.Writer) error {
		clear(wrote)
		return pack(ctx, h, w, wrote)
	}
	check := func(path string) (err error) {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		size = info.Size()
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		return readBack(ctx, f, wrote)
	}
	digest, err := h.StreamFile(ctx, host.File{Path: to, Mode: 0o600, Note: "the host's configuration and keys"}, fill, check)
	if err != nil || h.DryRun() {
		return Archive{}, err
	}
	files := 0
	for _, e := range wrote {
		if fs.FileMode(e.mode).IsRegular() {
			files++
		}
	}
	return Archive{Files: files, Bytes: size, SHA256: digest}, nil
}

func pack(ctx context.Context, h *host.Host, w io.Writer, wrote map[string]entry) error {
	zw := gzip.NewWriter(w)
	tw := tar.NewWriter(zw)
	for _, root := range roots {
		if err := packTree(ctx, h, tw, root, wrote); err != nil {
			return fmt.Errorf("keep %s: %w", root, err)
		}
	}
	return errors.Join(tw.Close(), zw.Close())
}

// packTree packs a file, a link, or a directory with all that is in it. What is
// none of these, as a socket, is left out.
func packTree(ctx context.Context, h *host.Host, tw *tar.Writer, name string, wrote map[string]entry) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	info, err := h.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case slices.Contains(left, name):
		return nil
	case info.IsDir():
		if err := packOne(h, tw, name, info, wrote); err != nil {
			return err
		}
		entries, err := h.ReadDir(name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := packTree(ctx, h, tw, path.Join(name, e.Name()), wrote); err != nil {
				return err
			}
		}
		return nil
	case info.Mode().IsRegular(), info.Mode()&fs.ModeSymlink != 0:
		return packOne(h, tw, name, info, wrote)
	}
	return nil
}

func packOne(h *host.Host, tw *tar.Writer, name string, info fs.FileInfo, wrote map[string]entry) (err error) {
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(h.Path(name)); err != nil {
			return err
		}
	}
	head, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	// Without the slash, so that it unpacks below any directory; with numbers for
	// owners, since names may mean others elsewhere.
	head.Name, head.Uname, head.Gname = strings.TrimPrefix(name, "/"), "", ""
	head.Format = tar.FormatPAX
	if info.IsDir() {
		head.Name += "/"
	}
	if err := tw.WriteHeader(head); err != nil {
		return err
	}
	e := entry{mode: int64(info.Mode()), link: link}
	if info.Mode().IsRegular() {
		f, err := os.Open(h.Path(name))
		if err != nil {
			return err
		}
		sum := sha256.New()
		// Exactly what was announced: it may be growing.
		_, err = io.CopyN(io.MultiWriter(tw, sum), f, info.Size())
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		e.sha256 = [sha256.Size]byte(sum.Sum(nil))
	}
	wrote[head.Name] = e
	return nil
}

// readBack compares an archive with what was put into it.
func readBack(ctx context.Context, r io.Reader, wrote map[string]entry) error {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("the archive can't be read back: %w", err)
	}
	found := map[string]entry{}
	for tr := tar.NewReader(zr); ctx.Err() == nil; {
		head, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("the archive can't be read back: %w", err)
		}
		e := entry{mode: int64(head.FileInfo().Mode()), link: head.Linkname}
		if head.Typeflag == tar.TypeReg {
			sum := sha256.New()
			if _, err := io.Copy(sum, tr); err != nil {
				return fmt.Errorf("the archive can't be read back: %s: %w", head.Name, err)
			}
			e.sha256 = [sha256.Size]byte(sum.Sum(nil))
		}
		found[head.Name] = e
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// To its very end, where the checksum is.
	if _, err := io.Copy(io.Discard, zr); err != nil {
		return fmt.Errorf("the archive can't be read back: %w", err)
	}
	if !maps.Equal(found, wrote) {
		return errors.New("the archive read back holds something else than was put into it")
	}
	return nil
}
