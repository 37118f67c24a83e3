package build

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
)

// debianLayers are the layers under images that need a Debian: files of gzipped tar.
type debianLayers struct{ base, proxies string }

// entry is what makes two files of two root file systems the same.
type entry struct {
	mode   int64
	kind   byte
	link   string
	digest [sha256.Size]byte
}

// unwantedInImages are path prefixes that an image does not need: package
// lists, and the full perl that nothing here calls.
func unwantedInImages() []string {
	return []string{
		"dev/", "proc/", "sys/", "var/lib/apt/", "var/lib/dpkg/", "var/cache/apt/", "var/cache/debconf/", "var/cache/ldconfig/",
		"var/log/apt/", "var/log/alternatives.log", "var/log/bootstrap.log", "var/log/dpkg.log", "etc/apt/", "etc/nginx/modules-enabled/",
		"usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/info/", "usr/share/lintian/",
		"usr/share/bug/", "usr/share/perl/", "usr/share/zoneinfo/", "usr/lib/x86_64-linux-gnu/perl/", "usr/lib/aarch64-linux-gnu/perl/",
	}
}

// makeLayers turns the Debian root file systems into layers; the second has
// only what the first lacks.
func (b *builder) makeLayers(roots rootTars) (debianLayers, error) {
	key := cache.Key("layers", "", append(unwantedInImages(), roots.base, roots.proxies, "2")...)
	dir := b.Cache.Build(key)
	l := debianLayers{base: filepath.Join(dir, "base.tar.gz"), proxies: filepath.Join(dir, "proxies.tar.gz")}
	err := b.makeCached(key, "Debian layers", func(dir string, _ io.Writer) error {
		base, err := filterTar(roots.base, filepath.Join(dir, "base.tar.gz"), nil)
		if err != nil {
			return err
		}
		_, err = filterTar(roots.proxies, filepath.Join(dir, "proxies.tar.gz"), base)
		return err
	})
	return l, err
}

// filterTar copies a tar file without what images don't need and without what
// is in known, gzipped. It returns all that it has seen.
func filterTar(in, out string, known map[string]entry) (map[string]entry, error) {
	src, err := os.Open(in)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }() // only read
	dst, err := os.Create(out)
	if err != nil {
		return nil, err
	}
	zip := gzip.NewWriter(dst)
	seen, err := copyEntries(tar.NewReader(src), tar.NewWriter(zip), known)
	return seen, errors.Join(err, zip.Close(), dst.Close())
}

// copyEntries is filterTar on streams. It closes the writer.
func copyEntries(r *tar.Reader, w *tar.Writer, known map[string]entry) (map[string]entry, error) {
	seen := map[string]entry{}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return seen, w.Close()
		}
		if err != nil {
			return nil, err
		}
		h.Name = strings.TrimPrefix(h.Name, "./")
		if h.Name == "" || unwanted(h.Name) {
			continue
		}
		if h.Typeflag == tar.TypeLink {
			h.Linkname = strings.TrimPrefix(h.Linkname, "./")
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		e := entry{mode: h.Mode, kind: h.Typeflag, link: h.Linkname, digest: sha256.Sum256(content)}
		seen[h.Name] = e
		if old, ok := known[h.Name]; ok && old == e {
			continue
		}
		h.ModTime, h.AccessTime, h.ChangeTime = time.Unix(0, 0), time.Time{}, time.Time{}
		h.PAXRecords, h.Format = nil, tar.FormatUnknown
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		if _, err := w.Write(content); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// unwanted reports whether a path has no place in an image.
func unwanted(name string) bool {
	return slices.ContainsFunc(unwantedInImages(), func(p string) bool {
		// A folder itself stays, a file does not.
		return strings.HasPrefix(name, p) && (name != p || !strings.HasSuffix(p, "/"))
	})
}

// packed is a file to be put into a tar file.
type packed struct {
	// from is the file, to its path in the tar file.
	from, to string
	// link, instead of from, makes it a symbolic link there.
	link string
}

// writeTarGz writes files, executable, as a gzipped tar file that is the same
// for the same content. Folders of the paths are entries of their own.
func writeTarGz(out string, files []packed) (err error) {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	dst, err := os.Create(out)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(dst)
	w := tar.NewWriter(zip)
	defer func() { err = errors.Join(err, w.Close(), zip.Close(), dst.Close()) }()
	made := map[string]bool{".": true}
	for _, f := range files {
		if err := addFolders(w, path.Dir(f.to), made); err != nil {
			return err
		}
		if err := addFile(w, f); err != nil {
			return fmt.Errorf("%s: %w", f.from, err)
		}
	}
	return nil
}

// addFolders adds dir and those above it which are not there yet.
func addFolders(w *tar.Writer, dir string, made map[string]bool) error {
	if made[dir] {
		return nil
	}
	if err := addFolders(w, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
}

func addFile(w *tar.Writer, f packed) error {
	if f.link != "" {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: f.to, Linkname: f.link, Mode: 0o777, ModTime: time.Unix(0, 0)})
	}
	src, err := os.Open(f.from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // only read
	info, err := src.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: f.to, Mode: 0o755, Size: info.Size(), ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w, src)
	return err
}
