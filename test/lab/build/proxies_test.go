package build

import (
	"archive/tar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnpackProxies: the programs are started with their own loader and libraries, also
// by a link to them, and nginx with its stream module.
func TestUnpackProxies(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root.tar")
	f, err := os.Create(root)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	const loader = "#!/bin/sh\necho \"$@\"\n"
	for _, h := range []struct{ name, link, content string }{
		{"./usr/sbin/haproxy", "", "h"}, {"./usr/sbin/nginx", "", "n"}, {"./usr/sbin/other", "", "o"},
		{"./usr/lib/nginx/modules/ngx_stream_module.so", "", "m"},
		{"./usr/lib/x86_64-linux-gnu/libz.so.1.2", "", "z"}, {"./usr/lib/x86_64-linux-gnu/libz.so.1", "libz.so.1.2", ""},
		{"./usr/lib/x86_64-linux-gnu/far.so", "../../../etc/far.so", ""}, {"./usr/lib/x86_64-linux-gnu/perl/x.so", "", "p"},
		{"./usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "", loader},
	} {
		header := &tar.Header{Name: h.name, Linkname: h.link, Mode: 0o644, Size: int64(len(h.content)), Typeflag: tar.TypeReg}
		if h.link != "" {
			header.Typeflag = tar.TypeSymlink
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(h.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	start, err := asset("images/nginx")
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "out")
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unpackProxies(root, to, string(start)); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"usr/sbin/other", "usr/lib/x86_64-linux-gnu/far.so", "usr/lib/x86_64-linux-gnu/perl"} {
		if _, err := os.Lstat(filepath.Join(to, "root", gone)); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", gone, err)
		}
	}
	if content, err := os.ReadFile(filepath.Join(to, "root/usr/lib/x86_64-linux-gnu/libz.so.1")); err != nil || string(content) != "z" {
		t.Errorf("a library by its link: %q, %v", content, err)
	}
	lib := filepath.Join(to, "root/usr/lib/x86_64-linux-gnu")
	for name, want := range map[string]string{
		"haproxy": "-f x y", "nginx": "-f x y -g load_module " + filepath.Join(to, "root") + "/usr/lib/nginx/modules/ngx_stream_module.so;",
	} {
		link := filepath.Join(dir, name)
		if err := os.Symlink(filepath.Join(to, "bin", name), link); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), link, "-f", "x y").CombinedOutput()
		want = "--library-path " + lib + " " + filepath.Join(to, "root/usr/sbin", name) + " " + want
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%v: %s\nwant %s", err, got, want)
		}
	}
	empty := filepath.Join(dir, "empty.tar")
	if err := os.WriteFile(empty, make([]byte, 1024), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unpackProxies(empty, t.TempDir(), string(start)); err == nil || !strings.Contains(err.Error(), "loader") {
		t.Errorf("of nothing: %v", err)
	}
}
