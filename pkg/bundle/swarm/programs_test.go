package swarm

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// oneBlob is an upstream with one blob.
type oneBlob []byte

func (o oneBlob) Blob(context.Context, digest.Digest) (io.ReadCloser, int64, error) {
	return io.NopCloser(bytes.NewReader(o)), int64(len(o)), nil
}

func TestParcelWithPrograms(t *testing.T) {
	content := []byte("a compressed program")
	good := bundle.Binary{Name: "kubelet", Version: "v1.36.3", SHA256: strings.Repeat("ab", 32), Size: 100,
		Blob: bundle.Blob{Digest: digest.FromBytes(content), Size: int64(len(content)), MediaType: bundle.MediaTypeBinary}}
	p, err := NewParcelOf(t.Context(), nil, []bundle.Binary{good}, oneBlob(content))
	if err != nil {
		t.Fatal(err)
	}
	data, id := p.Encode()
	back, err := Decode(data, id)
	if err != nil || len(back.Programs) != 1 || back.Programs[0].Name != "kubelet" {
		t.Fatalf("%+v, %v", back, err)
	}
	for name, spoil := range map[string]func(*bundle.Binary){
		"no name":        func(b *bundle.Binary) { b.Name = "" },
		"a path":         func(b *bundle.Binary) { b.Name = "../kubelet" },
		"up":             func(b *bundle.Binary) { b.Name = ".." },
		"no version":     func(b *bundle.Binary) { b.Version = "latest" },
		"a version path": func(b *bundle.Binary) { b.Version = "v1.36.3-a/../../b" },
		"no sum":         func(b *bundle.Binary) { b.SHA256 = "abc" },
		"absurd size":    func(b *bundle.Binary) { b.Size = 1 << 40 },
		"not there":      func(b *bundle.Binary) { b.Blob.Digest = digest.FromString("another") },
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			spoil(&bad)
			lies := *p
			lies.Programs = []bundle.Binary{bad}
			data, id := lies.Encode()
			if _, err := Decode(data, id); err == nil {
				t.Error("it was taken")
			}
		})
	}
}
