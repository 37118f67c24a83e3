package build

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// tarOf makes a tar file of regular files.
func tarOf(t *testing.T, files [][2]string) *tar.Reader {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f[0], Mode: 0o644, Size: int64(len(f[1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return tar.NewReader(&buf)
}

// names lists a tar file.
func names(t *testing.T, r io.Reader) []string {
	t.Helper()
	var list []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h.Name)
	}
}

func TestUpperLayerHasOnlyTheDifference(t *testing.T) {
	var lower, upper bytes.Buffer
	known, err := copyEntries(tarOf(t, [][2]string{{"./usr/bin/a", "a"}, {"./usr/bin/b", "b"}, {"./usr/share/doc/a/copyright", "c"}, {"./var/log/dpkg.log", "l"}}), tar.NewWriter(&lower), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, &lower); !slices.Equal(got, []string{"usr/bin/a", "usr/bin/b"}) {
		t.Errorf("lower: %v", got)
	}
	_, err = copyEntries(tarOf(t, [][2]string{{"./usr/bin/a", "a"}, {"./usr/bin/b", "B"}, {"./usr/bin/n", "n"}}), tar.NewWriter(&upper), known)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, &upper); !slices.Equal(got, []string{"usr/bin/b", "usr/bin/n"}) {
		t.Errorf("upper: %v", got)
	}
}

func TestWriteTarGzIsTheSameEachTime(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "program")
	if err := os.WriteFile(src, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	var contents [][]byte
	for _, name := range []string{"1.tar.gz", "2.tar.gz"} {
		out := filepath.Join(dir, name)
		if err := writeTarGz(out, []packed{{from: src, to: "usr/local/bin/program"}, {from: src, to: "usr/local/other"}, {link: "other", to: "usr/local/link"}}); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, content)
	}
	if !bytes.Equal(contents[0], contents[1]) {
		t.Error("two archives of the same file differ")
	}
	zip, err := gzip.NewReader(bytes.NewReader(contents[0]))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"usr/", "usr/local/", "usr/local/bin/", "usr/local/bin/program", "usr/local/other", "usr/local/link"}
	if got := names(t, zip); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if err := writeTarGz(filepath.Join(dir, "3.tar.gz"), []packed{{from: filepath.Join(dir, "missing"), to: "x"}}); err == nil {
		t.Error("a missing file was accepted")
	}
}

func TestKubernetesImage(t *testing.T) {
	b := &builder{Options: Options{Etcd: DefaultEtcd()}, bin: map[string]string{
		"kubernetes v1.36.3": "/k", "coredns " + CoreDNSVersion: "/c", "etcd v3.6.16": "/e", "etcd v3.5.35": "/e5",
	}}
	for ref, want := range map[string]string{
		"registry.k8s.io/kube-apiserver:v1.36.3": "/k/kube-apiserver", "registry.k8s.io/kube-proxy:v1.36.3": "/k/kube-proxy",
		"registry.k8s.io/coredns/coredns:v1.14.2": "/c/coredns", "registry.k8s.io/etcd:3.6.8-0": "/e/etcd",
	} {
		img, err := b.kubernetesImage(context.Background(), "v1.36.3", ref, debianLayers{base: "/base"})
		if err != nil {
			t.Fatal(err)
		}
		if img.ref != ref || img.files[0].from != want {
			t.Errorf("%s: %+v", ref, img)
		}
		if hasBase := len(img.base) > 0; hasBase != strings.Contains(ref, "kube-proxy") {
			t.Errorf("%s: base %v", ref, img.base)
		}
	}
	for _, bad := range []string{"registry.k8s.io/new-thing:v1", "registry.k8s.io/kube-apiserver"} {
		if img, err := b.kubernetesImage(context.Background(), "v1.36.3", bad, debianLayers{}); err == nil {
			t.Errorf("%s was accepted: %+v", bad, img)
		}
	}
}

func TestCheckDiskFor(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "not", "there", "yet")
	if err := CheckDiskFor(missing, 0, "to test"); err != nil {
		t.Error(err)
	}
	err := CheckDiskFor(missing, 1<<40, "to test")
	if err == nil || !strings.Contains(err.Error(), "GiB needed to test") {
		t.Errorf("got %v", err)
	}
}
