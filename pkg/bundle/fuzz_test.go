package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// packed is a tar.gz of these members, executable.
func packed(f *testing.F, members map[string]string) []byte {
	f.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	for name, content := range members {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			f.Fatal(err)
		}
		if _, err := io.WriteString(tw, content); err != nil {
			f.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		f.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		f.Fatal(err)
	}
	return out.Bytes()
}

// FuzzSum: a checksum that is found in a file of them is one, and of a line for the file.
func FuzzSum(f *testing.F) {
	sum := strings.Repeat("0a", 32)
	for _, seed := range []string{"", sum, sum + "\n", sum + "  a\n" + sum + " *b\n", sum + " ./dir/a", strings.ToUpper(sum) + " a", sum[:63] + " a", "x a"} {
		f.Add(seed, "a")
	}
	f.Fuzz(func(t *testing.T, sums, file string) {
		got, err := parseSum(sums, file)
		if err != nil {
			return
		}
		if len(got) != 64 || strings.Trim(got, "0123456789abcdef") != "" || !strings.Contains(strings.ToLower(sums), got) {
			t.Errorf("%q is taken from %q", got, sums)
		}
	})
}

// FuzzProgramArchive: what is taken out of a release's archive has a plain name, is one
// of those that were wanted, and has content.
func FuzzProgramArchive(f *testing.F) {
	f.Add(packed(f, map[string]string{"a": "1", "bin/b": "2"}))
	f.Add(packed(f, map[string]string{"../a": "1", "./a": "2", "/a": "3"}))
	f.Add(packed(f, map[string]string{"a": ""}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, item := range []download{{members: []string{"*"}, dir: "/usr/local/bin"}, {members: []string{"bin/b"}, dir: "/usr/local/bin"}} {
			got, err := packArchive(t.Context(), item, bytes.NewReader(data), OpenStore(t.TempDir()))
			if err != nil {
				continue
			}
			for _, b := range got {
				if filepath.Dir(b.Path) != item.dir || b.Size == 0 || !binaryName.MatchString(b.Name) {
					t.Errorf("%+v", b)
				}
			}
		}
	})
}

// FuzzImageArchive: a file that somebody has images in is told to be of a kind, or refused.
func FuzzImageArchive(f *testing.F) {
	f.Add(packed(f, map[string]string{"oci-layout": "{}", "index.json": "{}"}))
	f.Add(packed(f, map[string]string{"manifest.json": "[]"}))
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "images.tar")
		must(t, os.WriteFile(file, data, 0o600))
		kind, _, err := kindOf(t.Context(), file)
		if (err == nil) != (kind == kindOCIArchive || kind == kindDockerArchive) {
			t.Errorf("it is %q: %v", kind, err)
		}
	})
}

// FuzzManifest: the images in a manifest of somebody's are named in full, or it is refused.
func FuzzManifest(f *testing.F) {
	for _, seed := range []string{"", "kind: Pod\nspec:\n  containers:\n  - image: a\n", "image: b:1\n---\n{containers: [{image: quay.io/x/y@sha256:00}]}", "{{ .Values }}", "a: &a [*a]\n",
		"containers:\n- image: ''\n- image: 1\n", "? {a: b}\n: c\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "m.yaml")
		must(t, os.WriteFile(file, data, 0o600))
		refs, err := imagesInFile(file)
		if err != nil {
			return
		}
		for _, ref := range refs {
			if again, err := normalizeRef(ref); err != nil || again != ref {
				t.Errorf("%q is not named in full: %q, %v", ref, again, err)
			}
		}
	})
}
