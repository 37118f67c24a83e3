package build

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
)

// proxyPrograms makes the haproxy and nginx of the images runnable on this machine,
// for the load balancer's tests: to install Debian's packages would start their
// services, on the machine's port 80.
func (b *builder) proxyPrograms(root string) error {
	start, err := asset("images/nginx")
	if err != nil {
		return err
	}
	return b.makeCached(cache.Key("proxy-programs", debianSuite, root, string(start), "1"), "haproxy and nginx for tests", func(dir string, _ io.Writer) error {
		return unpackProxies(root, dir, string(start))
	})
}

// unpackProxies puts the two programs of a root file system, their libraries and the
// loader of these into dir/root, and into dir/bin what starts them; nginx as its start
// script of the images does.
func unpackProxies(root, dir, nginxStart string) error {
	loader, err := unpackSome(root, filepath.Join(dir, "root"))
	if err != nil {
		return err
	}
	if loader == "" {
		return errors.New("the root file system has no loader of shared libraries")
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		return err
	}
	head := "#!/bin/sh\nroot=$(dirname \"$(dirname \"$(readlink -f \"$0\")\")\")/root\n"
	run := fmt.Sprintf(`exec "$root/%s" --library-path "$root/%s" "$root/usr/sbin/NAME" "$@"`, loader, path.Dir(loader))
	_, body, _ := strings.Cut(nginxStart, "\n")
	body = strings.ReplaceAll(body, "load='load_module /usr/lib/nginx/modules/ngx_stream_module.so;'", `load="load_module $root/usr/lib/nginx/modules/ngx_stream_module.so;"`)
	body = strings.ReplaceAll(body, `exec /usr/sbin/nginx "$@"`, run)
	for name, script := range map[string]string{"haproxy": run + "\n", "nginx": body} {
		if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte(head+strings.ReplaceAll(script, "NAME", name)), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// unpackSome unpacks what the two programs need, and tells where the loader is.
func unpackSome(root, dir string) (loader string, err error) {
	src, err := os.Open(root)
	if err != nil {
		return "", err
	}
	defer func() { _ = src.Close() }() // only read
	for r := tar.NewReader(src); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return loader, nil
		}
		if err != nil {
			return "", err
		}
		name := strings.TrimPrefix(h.Name, "./")
		if !ofProxies(name) {
			continue
		}
		if err := unpackEntry(h, r, filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if strings.HasPrefix(path.Base(name), "ld-linux") {
			loader = name
		}
	}
}

// ofProxies knows the two programs, nginx's modules, and libraries right below
// usr/lib/TRIPLET.
func ofProxies(name string) bool {
	if name == "usr/sbin/haproxy" || name == "usr/sbin/nginx" || strings.HasPrefix(name, "usr/lib/nginx/modules/") {
		return true
	}
	library, err := path.Match("usr/lib/*-linux-*/*.so*", name)
	return library && err == nil
}

func unpackEntry(h *tar.Header, content io.Reader, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		if strings.Contains(h.Linkname, "/") {
			return nil // Of other folders nothing is needed.
		}
		return os.Symlink(h.Linkname, to)
	case tar.TypeReg:
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Close())
	}
	return nil
}
