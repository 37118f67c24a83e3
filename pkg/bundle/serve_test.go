package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// fakeUpstream has blobs in memory and counts who asks for what. A blob that
// nobody put there is missing.
type fakeUpstream struct {
	mu    sync.Mutex
	blobs map[digest.Digest][]byte
	asked map[digest.Digest]int
	// gate, when set, holds back the second half of each blob until closed.
	gate chan struct{}
}

func newUpstream(contents ...[]byte) (*fakeUpstream, []Blob) {
	u := &fakeUpstream{blobs: map[digest.Digest][]byte{}, asked: map[digest.Digest]int{}}
	var list []Blob
	for _, c := range contents {
		b := Blob{Digest: digest.FromBytes(c), Size: int64(len(c))}
		u.blobs[b.Digest] = c
		list = append(list, b)
	}
	return u, list
}

func (u *fakeUpstream) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked[d]++
	data, ok := u.blobs[d]
	if !ok {
		return nil, 0, fmt.Errorf("%s: %w", d, ErrMissing)
	}
	var r io.Reader = bytes.NewReader(data)
	if u.gate != nil {
		r = io.MultiReader(bytes.NewReader(data[:len(data)/2]), &gateReader{ctx, u.gate}, bytes.NewReader(data[len(data)/2:]))
	}
	return io.NopCloser(r), int64(len(data)), nil
}

func (u *fakeUpstream) count(d digest.Digest) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked[d]
}

// gateReader has nothing and ends when its gate opens.
type gateReader struct {
	ctx  context.Context
	gate chan struct{}
}

func (g *gateReader) Read([]byte) (int, error) {
	select {
	case <-g.gate:
		return 0, io.EOF
	case <-g.ctx.Done():
		return 0, g.ctx.Err()
	}
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

// serving runs a server and gives a client's source for it.
func serving(t *testing.T, store *Store, upstream Upstream) Source {
	t.Helper()
	peers, err := NewPeers([]string{"127.0.0.1", "localhost"})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- NewServer(ctx, store, upstream).Serve(ctx, l, peers.CA, peers.Cert, peers.Key) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	return peers.Source(l.Addr().String())
}

func clientFor(t *testing.T, source Source) *Client {
	t.Helper()
	c, err := NewClient(source)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestServerPullsEachBlobOnce(t *testing.T) {
	upstream, blobs := newUpstream(noise(1, 3<<20), noise(2, 1), noise(3, 70000))
	stores := []*Store{OpenStore(t.TempDir()), OpenStore(t.TempDir()), OpenStore(t.TempDir()), OpenStore(t.TempDir())}
	server := OpenStore(t.TempDir())
	source := serving(t, server, upstream)
	var group sync.WaitGroup
	for _, store := range stores {
		group.Go(func() {
			n, err := clientFor(t, source).FetchAll(t.Context(), blobs, store, 3, nil)
			if err != nil || n != 3<<20+1+70000 {
				t.Errorf("fetched %d bytes: %v", n, err)
			}
		})
	}
	group.Wait()
	for _, b := range blobs {
		if n := upstream.count(b.Digest); n != 1 {
			t.Errorf("%s was pulled %d times", b.Digest, n)
		}
		for _, store := range append(stores, server) {
			if err := store.Verify(t.Context(), b.Digest); err != nil {
				t.Error(err)
			}
		}
	}
	for _, store := range append(stores, server) {
		if left := partialBytes(store.ingestDir()); left != 0 {
			t.Errorf("%d bytes are left in %s", left, store.ingestDir())
		}
	}
	n, err := clientFor(t, source).FetchAll(t.Context(), blobs, stores[0], 3, nil)
	if n != 0 || err != nil {
		t.Errorf("a second fetch moved %d bytes: %v", n, err)
	}
}

// Readers get the beginning while the rest is still on its way, and the last
// byte only after the whole was verified.
func TestServerPassesOnWhileItArrives(t *testing.T) {
	content := noise(4, 1<<20)
	upstream, blobs := newUpstream(content)
	upstream.gate = make(chan struct{})
	client := clientFor(t, serving(t, OpenStore(t.TempDir()), upstream))
	r, size, err := client.Blob(t.Context(), blobs[0].Digest)
	must(t, err)
	if size != 1<<20 {
		t.Errorf("size %d", size)
	}
	half := make([]byte, 1<<19)
	if _, err := io.ReadFull(r, half); err != nil || !bytes.Equal(half, content[:1<<19]) {
		t.Fatalf("the first half: %v", err)
	}
	close(upstream.gate)
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(rest, content[1<<19:]) {
		t.Fatalf("the second half: %v", err)
	}
	must(t, r.Close())
}

// An upstream that gives something else never leads to a complete answer.
func TestLyingUpstream(t *testing.T) {
	content := noise(5, 300000)
	upstream, blobs := newUpstream(content)
	wrong := bytes.Clone(content)
	wrong[299999] ^= 1
	upstream.blobs[blobs[0].Digest] = wrong
	server, store := OpenStore(t.TempDir()), OpenStore(t.TempDir())
	client := clientFor(t, serving(t, server, upstream))
	r, _, err := client.Blob(t.Context(), blobs[0].Digest)
	if err == nil {
		_, err = io.ReadAll(r)
		must(t, r.Close())
	}
	if err == nil {
		t.Error("a complete answer came of wrong content")
	}
	if _, err := client.Fetch(t.Context(), blobs[0], store); !errors.Is(err, errDigest) {
		t.Errorf("error %v", err)
	}
	if n := upstream.count(blobs[0].Digest); n != 1 {
		t.Errorf("the wrong blob was pulled %d times", n)
	}
	for _, s := range []*Store{server, store} {
		if s.Has(blobs[0]) || partialBytes(s.ingestDir()) != 0 {
			t.Errorf("something is left in %s", s.Dir())
		}
	}
}

func TestServerReplacesWhatItsDiskLost(t *testing.T) {
	content := noise(6, 50000)
	upstream, blobs := newUpstream(content)
	server := OpenStore(t.TempDir())
	must(t, server.Put(t.Context(), blobs[0], bytes.NewReader(content)))
	must(t, os.WriteFile(server.Path(blobs[0].Digest), noise(7, 50000), 0o600))
	client := clientFor(t, serving(t, server, upstream))
	store := OpenStore(t.TempDir())
	if _, err := client.Fetch(t.Context(), blobs[0], store); err != nil {
		t.Fatal(err)
	}
	must(t, store.Verify(t.Context(), blobs[0].Digest))
}

func TestServerRefuses(t *testing.T) {
	upstream, blobs := newUpstream([]byte("x"))
	source := serving(t, OpenStore(t.TempDir()), upstream)
	client := clientFor(t, source)
	if _, _, err := client.Blob(t.Context(), digest.FromString("none")); !errors.Is(err, ErrMissing) {
		t.Errorf("a blob that nobody has: %v", err)
	}
	for _, path := range []string{"/", "/blobs/", "/blobs/sha256:zz", "/blobs/sha256:../../etc/passwd", "/blobs/sha512:" + strings.Repeat("0", 128)} {
		res, err := client.http.Get(source.URL + path)
		must(t, err)
		must(t, res.Body.Close())
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	// A stranger: credentials of the same shape from another CA, and none.
	others, err := NewPeers([]string{"127.0.0.1"})
	must(t, err)
	stranger := source
	stranger.Cert, stranger.Key = others.Cert, others.Key
	if _, _, err := clientFor(t, stranger).Blob(t.Context(), blobs[0].Digest); err == nil {
		t.Error("a stranger got a blob")
	}
	fooled := source
	fooled.CA = others.CA
	if _, _, err := clientFor(t, fooled).Blob(t.Context(), blobs[0].Digest); err == nil {
		t.Error("a client trusted a stranger")
	}
	bare := clientFor(t, source)
	bare.http.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
	if _, _, err := bare.Blob(t.Context(), blobs[0].Digest); err == nil {
		t.Error("a peer without a certificate got a blob")
	}
	if n := upstream.count(blobs[0].Digest); n != 0 {
		t.Errorf("the blob was pulled %d times", n)
	}
}

// fakeServer answers as it is told, over the TLS that clients want.
func fakeServer(t *testing.T, h http.HandlerFunc) Source {
	t.Helper()
	peers, err := NewPeers([]string{"127.0.0.1"})
	must(t, err)
	config, err := tlsConfig(peers.CA, peers.Cert, peers.Key)
	must(t, err)
	s := httptest.NewUnstartedServer(h)
	s.TLS = config
	s.StartTLS()
	t.Cleanup(s.Close)
	return peers.Source(strings.TrimPrefix(s.URL, "https://"))
}

func TestFetchResumes(t *testing.T) {
	content := noise(8, 500000)
	_, blobs := newUpstream(content)
	var ranges []string
	source := fakeServer(t, func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		if len(ranges) == 1 {
			w.Header().Set("Content-Length", "500000")
			_, _ = w.Write(content[:200000])
			panic(http.ErrAbortHandler)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
	store := OpenStore(t.TempDir())
	n, err := clientFor(t, source).Fetch(t.Context(), blobs[0], store)
	if err != nil || n != 500000 {
		t.Errorf("fetched %d: %v", n, err)
	}
	if len(ranges) != 2 || ranges[0] != "" || ranges[1] != "bytes=200000-" {
		t.Errorf("ranges %q", ranges)
	}
	must(t, store.Verify(t.Context(), blobs[0].Digest))
}

// What an earlier run left may be wrong: then it all comes once more.
func TestFetchStartsOverWhenTheRestIsNotEnough(t *testing.T) {
	content := noise(9, 100000)
	upstream, blobs := newUpstream(content)
	store := OpenStore(t.TempDir())
	must(t, os.MkdirAll(store.ingestDir(), 0o755))
	must(t, os.WriteFile(filepath.Join(store.ingestDir(), blobs[0].Digest.Encoded()), noise(10, 40000), 0o600))
	n, err := clientFor(t, serving(t, OpenStore(t.TempDir()), upstream)).Fetch(t.Context(), blobs[0], store)
	if err != nil || n != 160000 {
		t.Errorf("fetched %d: %v", n, err)
	}
	must(t, store.Verify(t.Context(), blobs[0].Digest))
}

func TestFetchRefuses(t *testing.T) {
	content := noise(11, 10000)
	_, blobs := newUpstream(content)
	for name, h := range map[string]http.HandlerFunc{
		"other content": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(noise(12, 10000)) },
		"too long":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(noise(11, 10001)) },
		"too short":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content[:9999]) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = w.Write(noise(11, 20000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := OpenStore(t.TempDir())
			_, err := clientFor(t, fakeServer(t, h)).Fetch(t.Context(), blobs[0], store)
			if !errors.Is(err, errDigest) {
				t.Errorf("error %v", err)
			}
			if store.Has(blobs[0]) || partialBytes(store.ingestDir()) != 0 {
				t.Error("something is left")
			}
		})
	}
}

// The host that serves fetches into the server's own store: it only waits.
func TestClientOnTheServersHost(t *testing.T) {
	upstream, blobs := newUpstream(noise(1, 1<<20), noise(2, 1))
	upstream.gate = make(chan struct{})
	store := OpenStore(t.TempDir())
	source := serving(t, store, upstream)
	source.SameStore = true
	client := clientFor(t, source)
	fetched := make(chan error, 1)
	go func() {
		_, err := client.FetchAll(t.Context(), blobs, store, 2, nil)
		fetched <- err
	}()
	select {
	case err := <-fetched:
		t.Fatalf("it did not wait for what has not arrived: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(upstream.gate)
	must(t, <-fetched)
	for _, b := range blobs {
		must(t, store.Verify(t.Context(), b.Digest))
		if n := upstream.count(b.Digest); n != 1 {
			t.Errorf("%s was asked for %d times", b.Digest, n)
		}
	}
	left, err := filepath.Glob(filepath.Join(store.Dir(), "ingest", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("written twice: %v %v", left, err)
	}
	if _, err := client.Fetch(t.Context(), blobs[0], OpenStore(t.TempDir())); !errors.Is(err, ErrMissing) {
		t.Errorf("another store than the server's: %v", err)
	}
	missing := Blob{Digest: digest.FromString("nobody has it"), Size: 13}
	if _, err := client.Fetch(t.Context(), missing, store); !errors.Is(err, ErrMissing) {
		t.Errorf("a blob that nobody has: %v", err)
	}
}
