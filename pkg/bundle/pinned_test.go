package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// TestPinnedFiles makes a bundle with a file of upstream's, by a mirror, and reads
// it back; one that is not what it should be is refused.
func TestPinnedFiles(t *testing.T) {
	const content = "kind: List\n"
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/example.com/v1/install.yaml" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(content))
	}))
	defer mirror.Close()
	sum := sha256.Sum256([]byte(content))
	good := PinnedFile{URL: "https://example.com/v1/install.yaml", SHA256: hex.EncodeToString(sum[:])}
	for name, c := range map[string]struct {
		file PinnedFile
		want string
	}{
		"good":      {good, ""},
		"changed":   {PinnedFile{URL: good.URL, SHA256: strings.Repeat("0", 64)}, "is not the file"},
		"missing":   {PinnedFile{URL: "https://example.com/v2/install.yaml", SHA256: good.SHA256}, "404"},
		"no digest": {PinnedFile{URL: good.URL, SHA256: "abc"}, "digest"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := FetchFile(t.Context(), c.file, mirror.URL)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if err == nil && string(got) != content {
				t.Errorf("got %q", got)
			}
		})
	}
	out := filepath.Join(t.TempDir(), "addons.tar")
	opts := CreateOptions{Files: []PinnedFile{good}, Addons: []Addon{{Name: "mine", Version: "v1"}}, Mirror: mirror.URL, Output: out}
	if _, err := Create(t.Context(), opts, nil); err != nil {
		t.Fatal(err)
	}
	b, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }() // Only read.
	c := b.Contents()
	if len(c.Files) != 1 || c.Files[0].Name != "install.yaml" || c.Files[0].Source != good.URL || len(c.Addons) != 1 {
		t.Errorf("it holds %+v and %+v", c.Files, c.Addons)
	}
	if !b.Has(c.Files[0].Blob) {
		t.Error("the file is not in it")
	}
	if n := len(c.For(nodeRoles()).Files); n > 0 {
		t.Errorf("nodes would get %d files", n)
	}
}
