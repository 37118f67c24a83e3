package bundle

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"
)

func blobFor(content []byte) Blob {
	return Blob{Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// noise is content that compresses badly, the same for the same seed.
func noise(seed uint64, n int) []byte {
	out := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func TestStore(t *testing.T) {
	store := OpenStore(t.TempDir())
	content := noise(1, 1000)
	b := blobFor(content)
	if store.Has(b) {
		t.Error("an empty store has a blob")
	}
	if err := store.Put(t.Context(), b, bytes.NewReader(content[:999])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a short blob: %v", err)
	}
	if err := store.Put(t.Context(), b, bytes.NewReader(noise(2, 1000))); !errors.Is(err, errDigest) {
		t.Errorf("a wrong blob: %v", err)
	}
	must(t, store.Put(t.Context(), b, bytes.NewReader(content)))
	if !store.Has(b) || store.Has(Blob{Digest: b.Digest, Size: 7}) {
		t.Error("Has does not compare sizes")
	}
	must(t, os.WriteFile(store.Path(b.Digest), noise(3, 1000), 0o600))
	if err := store.Verify(t.Context(), b.Digest); !errors.Is(err, errDigest) || store.Has(b) {
		t.Errorf("a blob that the disk changed: %v", err)
	}
	for _, d := range []digest.Digest{"", "sha256:", "sha256:../x", "md5:d41d8cd98f00b204e9800998ecf8427e"} {
		if _, err := store.Open(d); err == nil || errors.Is(err, ErrMissing) {
			t.Errorf("digest %q: %v", d, err)
		}
		if store.Has(Blob{Digest: d}) || store.Remove(d) == nil {
			t.Errorf("digest %q was taken", d)
		}
	}
	must(t, store.Remove(b.Digest))
}

// Two writers of one blob do not get into each other's way.
func TestStoreTwoWriters(t *testing.T) {
	store := OpenStore(t.TempDir())
	content := noise(1, 1000)
	b := blobFor(content)
	one, err := store.writer(b)
	must(t, err)
	two, err := store.writer(b)
	must(t, err)
	for _, w := range []*blobWriter{one, two} {
		_, err := w.Write(content[:500])
		must(t, err)
	}
	for _, w := range []*blobWriter{two, one} {
		_, err := w.Write(content[500:])
		must(t, err)
		must(t, w.Commit())
	}
	must(t, store.Verify(t.Context(), b.Digest))
	if left := partialBytes(store.ingestDir()); left != 0 {
		t.Errorf("%d bytes are left", left)
	}
}
