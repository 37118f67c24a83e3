package swarm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// onDisk is an Upstream of files.
type onDisk string

func (o onDisk) Blob(_ context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	f, err := os.Open(filepath.Join(string(o), d.Encoded()))
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", err, bundle.ErrMissing)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// write makes a blob of so many bytes.
func (o onDisk) write(t *testing.T, seed uint64, size int) bundle.Blob {
	t.Helper()
	f, err := os.Create(filepath.Join(string(o), "new"))
	must(t, err)
	h := sha256.New()
	part := noise(seed, 1<<20)
	for n := 0; n < size; n += len(part) {
		part[n>>20&0xfffff] ^= 0x55
		_, err = io.MultiWriter(f, h).Write(part[:min(len(part), size-n)])
		must(t, err)
	}
	must(t, f.Close())
	b := bundle.Blob{Digest: digest.NewDigest(digest.SHA256, h), Size: int64(size)}
	must(t, os.Rename(f.Name(), filepath.Join(string(o), b.Digest.Encoded())))
	return b
}

// Neither the workstation nor the peers hold a blob in memory: three of them
// together stay far below its size.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a blob of 300 MB")
	}
	source := onDisk(t.TempDir())
	image := bundle.Image{Ref: "registry.test/big:1", Blobs: []bundle.Blob{
		source.write(t, 1, 500), source.write(t, 2, 400), source.write(t, 3, 300<<20)}}
	image.Manifest = image.Blobs[0]
	parcel, err := NewParcelWith(t.Context(), nil, []bundle.Image{image}, source)
	must(t, err)
	c := cargo{parcel: parcel}
	c.encoded, c.blob = parcel.Encode()
	s := newSwarm(t, c, 2)
	for i := range 2 {
		s.start(t, i, func(cfg *Config) { cfg.tune = nil }).Want(c.digests()...)
	}
	began := time.Now()
	_, result := s.feed(t, s.nodes[0], source)
	var most runtime.MemStats
	eventually(t, "all is there", func() bool {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		if now.HeapInuse > most.HeapInuse {
			most = now
		}
		return s.nodes[0].Status().Had == parcel.Size() && s.nodes[1].Status().Had == parcel.Size()
	})
	t.Logf("all is there after %s, at most %d MiB in use", time.Since(began), most.HeapInuse>>20)
	if most.HeapInuse > 150<<20 {
		t.Errorf("%d bytes were in use", most.HeapInuse)
	}
	for _, n := range s.nodes {
		for _, b := range image.Blobs {
			r, _, err := n.Blob(t.Context(), b.Digest)
			must(t, err)
			got, err := digest.FromReader(r)
			must(t, err)
			must(t, r.Close())
			if got != b.Digest {
				t.Errorf("%s instead of %s", got, b.Digest)
			}
		}
	}
	s.finish(t)
	must(t, await(t, result))
	if sent := s.feeds.Load(); sent > parcel.Size()*105/100 {
		t.Errorf("%d bytes left the workstation, the blobs have %d", sent, parcel.Size())
	}
}
