package bundle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// twoEnds is a byte stream with two ends, as an SSH session's is: two pipes.
func twoEnds() (near, far *stdio) {
	ar, aw := io.Pipe()
	br, bw := io.Pipe()
	return &stdio{Reader: ar, Writer: bw, stdin: ar, stdout: bw}, &stdio{Reader: br, Writer: aw, stdin: br, stdout: aw}
}

func TestPipeCarriesManyBlobsAtOnce(t *testing.T) {
	var contents [][]byte
	for n := range 20 {
		contents = append(contents, noise(uint64(n), 1+n*100000))
	}
	upstream, blobs := newUpstream(contents...)
	near, far := twoEnds()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- ServePipe(ctx, near, upstream) }()
	up, err := DialPipe(ctx, far)
	must(t, err)
	var group sync.WaitGroup
	for i, b := range blobs {
		group.Go(func() {
			r, size, err := up.Blob(ctx, b.Digest)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil || size != b.Size || !bytes.Equal(got, contents[i]) {
				t.Errorf("blob %d: size %d, %d bytes: %v", i, size, len(got), err)
			}
		})
	}
	group.Wait()
	if _, _, err := up.Blob(ctx, digest.FromString("none")); !errors.Is(err, ErrMissing) {
		t.Errorf("a blob that is not there: %v", err)
	}
	cancel()
	must(t, <-served)
	if _, _, err := up.Blob(t.Context(), blobs[0].Digest); err == nil {
		t.Error("a pipe that has ended gave a blob")
	}
}

// brokenUpstream breaks off in the middle of a blob.
type brokenUpstream struct{ size int64 }

func (b brokenUpstream) Blob(context.Context, digest.Digest) (io.ReadCloser, int64, error) {
	r := io.MultiReader(io.LimitReader(bytes.NewReader(make([]byte, b.size)), b.size/2), &failingReader{})
	return io.NopCloser(r), b.size, nil
}

type failingReader struct{}

func (*failingReader) Read([]byte) (int, error) { return 0, errors.New("disk error") }

func TestPipeTellsOfABrokenBlob(t *testing.T) {
	near, far := twoEnds()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- ServePipe(ctx, near, brokenUpstream{100000}) }()
	up, err := DialPipe(ctx, far)
	must(t, err)
	r, _, err := up.Blob(ctx, digest.FromString("x"))
	must(t, err)
	if n, err := io.Copy(io.Discard, r); err == nil {
		t.Errorf("half a blob of %d bytes came without an error", n)
	}
	must(t, r.Close())
	cancel()
	must(t, <-served)
}

func TestBlobAgent(t *testing.T) {
	upstream, blobs := newUpstream(noise(1, 2<<20), noise(2, 900))
	peers, err := NewPeers([]string{"127.0.0.1"})
	must(t, err)
	near, far := twoEnds()
	storeDir := t.TempDir()
	agent := make(chan error, 1)
	go func() { agent <- RunBlobAgent(t.Context(), far.Reader, far.Writer) }()
	ctx, cancel := context.WithCancel(t.Context())
	addr, wait, err := StartBlobAgent(ctx, near.Writer.(io.WriteCloser), near.Reader, peers.Spec("127.0.0.1:0", storeDir), upstream)
	must(t, err)
	store := OpenStore(t.TempDir())
	client := clientFor(t, peers.Source(addr))
	if n, err := client.FetchAll(t.Context(), blobs, store, 2, nil); err != nil || n != 2<<20+900 {
		t.Errorf("fetched %d: %v", n, err)
	}
	for _, b := range blobs {
		must(t, store.Verify(t.Context(), b.Digest))
		must(t, OpenStore(storeDir).Verify(t.Context(), b.Digest))
	}
	cancel()
	must(t, wait())
	must(t, <-agent)
	if _, _, err := client.Blob(t.Context(), blobs[0].Digest); err == nil {
		t.Error("an agent that has ended gave a blob")
	}
}

func TestBlobAgentFails(t *testing.T) {
	peers, err := NewPeers([]string{"127.0.0.1"})
	must(t, err)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, taken.Close()) }()
	near, far := twoEnds()
	agent := make(chan error, 1)
	go func() { agent <- RunBlobAgent(t.Context(), far.Reader, far.Writer) }()
	upstream, _ := newUpstream()
	spec := peers.Spec(taken.Addr().String(), t.TempDir())
	_, _, err = StartBlobAgent(t.Context(), near.Writer.(io.WriteCloser), near.Reader, spec, upstream)
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error %v", err)
	}
	if err := <-agent; err == nil {
		t.Error("the agent did not fail")
	}

	for name, output := range map[string]string{"nothing": "", "a banner": "Welcome to host\n", "no end": strings.Repeat("x", maxLine*2)} {
		_, _, err := StartBlobAgent(t.Context(), nopWriter{io.Discard}, strings.NewReader(output), spec, upstream)
		if err == nil || !strings.Contains(err.Error(), "did not start") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := RunBlobAgent(t.Context(), strings.NewReader("{\"key\":7}\n"), io.Discard); err == nil {
		t.Error("a malformed specification was taken")
	}
}

type nopWriter struct{ io.Writer }

func (nopWriter) Close() error { return nil }

// The session dies: both ends notice without anybody's context ending.
func TestBlobAgentSessionDies(t *testing.T) {
	peers, err := NewPeers([]string{"127.0.0.1"})
	must(t, err)
	near, far := twoEnds()
	agent := make(chan error, 1)
	go func() { agent <- RunBlobAgent(t.Context(), far.Reader, far.Writer) }()
	upstream, _ := newUpstream()
	addr, wait, err := StartBlobAgent(t.Context(), near.Writer.(io.WriteCloser), near.Reader, peers.Spec("127.0.0.1:0", t.TempDir()), upstream)
	must(t, err)
	if _, _, err := clientFor(t, peers.Source(addr)).Blob(t.Context(), digest.FromString("none")); !errors.Is(err, ErrMissing) {
		t.Errorf("a blob that nobody has: %v", err)
	}
	must(t, near.Close())
	if err := wait(); err == nil {
		t.Error("the workstation did not notice")
	}
	if err := <-agent; err != nil {
		t.Errorf("the agent: %v", err)
	}
}

func TestStore(t *testing.T) {
	store := OpenStore(t.TempDir())
	content := noise(1, 1000)
	_, blobs := newUpstream(content)
	b := blobs[0]
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
	_, blobs := newUpstream(content)
	one, err := store.writer(blobs[0])
	must(t, err)
	two, err := store.writer(blobs[0])
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
	must(t, store.Verify(t.Context(), blobs[0].Digest))
	if left := partialBytes(store.ingestDir()); left != 0 {
		t.Errorf("%d bytes are left", left)
	}
}
