package swarm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// within bounds every wait of these tests.
const within = 3 * time.Minute

const testPiece = 16 << 10

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	if !poll.Until(within, condition) {
		t.Fatalf("did not happen within %s: %s", within, what)
	}
}

// noise is content that is the same for the same seed.
func noise(seed uint64, size int) []byte {
	data := make([]byte, size)
	// It never fails.
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(data)
	return data
}

// memory is an Upstream and a Local with blobs in memory. What nobody put there
// is missing.
type memory map[digest.Digest][]byte

func (m memory) Blob(_ context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	data, ok := m[d]
	if !ok {
		return nil, 0, fmt.Errorf("%s: %w", d, bundle.ErrMissing)
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

func (m memory) Open(_ context.Context, d digest.Digest) (Content, error) {
	data, ok := m[d]
	if !ok {
		return nil, fmt.Errorf("%s: %w", d, bundle.ErrMissing)
	}
	return memoryContent{bytes.NewReader(data)}, nil
}

type memoryContent struct{ *bytes.Reader }

func (memoryContent) Close() error { return nil }

// cargo is a parcel and where its blobs come from.
type cargo struct {
	parcel  *Parcel
	blob    bundle.Blob
	encoded []byte
	source  memory
}

// load makes one image of blobs of these sizes; the first two are its manifest
// and config.
func load(t *testing.T, seed uint64, sizes ...int) cargo {
	t.Helper()
	c := cargo{source: memory{}}
	image := bundle.Image{Ref: fmt.Sprintf("registry.test/image:%d", seed)}
	for n, size := range sizes {
		data := noise(seed*100+uint64(n), size)
		b := bundle.Blob{Digest: digest.FromBytes(data), Size: int64(size)}
		c.source[b.Digest] = data
		image.Blobs = append(image.Blobs, b)
	}
	image.Manifest = image.Blobs[0]
	var err error
	c.parcel, err = newParcel(t.Context(), nil, []bundle.Image{image}, c.source, testPiece)
	must(t, err)
	c.encoded, c.blob = c.parcel.Encode()
	return c
}

// digests are those of all blobs.
func (c cargo) digests() (list []digest.Digest) {
	for _, b := range c.parcel.Blobs {
		list = append(list, b.Digest)
	}
	return list
}

// node is a running peer.
type node struct {
	*Peer
	cfg   Config
	stop  context.CancelFunc
	ended chan error
}

// swarm has addresses and credentials for a few peers.
type swarm struct {
	cargo     cargo
	creds     bundle.Peers
	listeners []net.Listener
	addrs     []string
	dirs      []string
	nodes     []*node
	feeds     atomic.Int64
}

// newSwarm reserves addresses for n peers.
func newSwarm(t *testing.T, c cargo, n int) *swarm {
	t.Helper()
	creds, err := bundle.NewPeers([]string{"127.0.0.1"})
	must(t, err)
	s := &swarm{cargo: c, creds: creds, nodes: make([]*node, n)}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		// One that a peer has taken is closed already.
		t.Cleanup(func() { _ = l.Close() })
		s.listeners = append(s.listeners, l)
		s.addrs = append(s.addrs, l.Addr().String())
		s.dirs = append(s.dirs, t.TempDir())
	}
	return s
}

// fastTuning has less patience than a real one.
func fastTuning() tuning {
	t := defaultTuning()
	t.tick, t.stallAfter, t.minSlow, t.slowAfter = 10*time.Millisecond, time.Second, 500*time.Millisecond, 2*time.Second
	t.backoff, t.maxBackoff = 20*time.Millisecond, 500*time.Millisecond
	t.alive, t.dead = 500*time.Millisecond, 10*time.Second
	t.window, t.heldUp = 8*testPiece, time.Minute
	return t
}

// start starts peer i. change may be nil.
func (s *swarm) start(t *testing.T, i int, change func(*Config)) *node {
	t.Helper()
	tune := fastTuning()
	cfg := Config{Listen: s.addrs[i], Listener: s.listeners[i], Self: s.addrs[i], Peers: s.addrs, Credentials: s.creds,
		Parcel: s.cargo.blob, Dir: s.dirs[i], tune: &tune,
		Log: func(m string) { t.Logf("peer %d: %s", i, m) }}
	// A second time it listens itself.
	s.listeners[i] = nil
	if change != nil {
		change(&cfg)
	}
	p, err := NewPeer(cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	n := &node{Peer: p, cfg: cfg, stop: cancel, ended: make(chan error, 1)}
	go func() { n.ended <- p.Run(ctx) }()
	s.nodes[i] = n
	t.Cleanup(func() { n.end(t) })
	return n
}

// keepParcel lets peer i have the parcel from the beginning.
func (s *swarm) keepParcel(t *testing.T, i int) {
	t.Helper()
	must(t, (&stage{dir: s.dirs[i]}).keepParcel(s.cargo.blob, s.cargo.encoded))
}

// end stops a peer and waits for it.
func (n *node) end(t *testing.T) {
	t.Helper()
	n.stop()
	select {
	case err := <-n.ended:
		n.ended <- err
		if err != nil {
			t.Errorf("peer %s: %v", n.cfg.Self, err)
		}
	case <-time.After(within):
		t.Fatalf("peer %s did not end", n.cfg.Self)
	}
}

// feed connects a workstation to a peer. cut ends the connection; the channel
// gets what Feed returned.
func (s *swarm) feed(t *testing.T, n *node, source bundle.Upstream) (cut func(), result chan error) {
	t.Helper()
	here, there := net.Pipe()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	result = make(chan error, 1)
	var both sync.WaitGroup
	both.Go(func() {
		// It ends as the test wants it to.
		_ = n.ServeFeed(ctx, there)
	})
	both.Go(func() {
		result <- Feed(ctx, &countingStream{Conn: here, n: &s.feeds}, s.cargo.parcel, source, FeedOptions{})
	})
	t.Cleanup(func() { cancel(); both.Wait() })
	return func() { _ = here.Close() }, result
}

// countingStream counts what leaves the workstation.
type countingStream struct {
	net.Conn
	n *atomic.Int64
}

func (c *countingStream) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// checkAll gets every blob from a peer and compares it.
func (s *swarm) checkAll(t *testing.T, n *node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for d, want := range s.cargo.source {
		r, size, err := n.Blob(ctx, d)
		if err != nil {
			t.Fatalf("peer %s: %v; status %+v", n.cfg.Self, err, n.Status())
		}
		got, err := io.ReadAll(r)
		must(t, err)
		must(t, r.Close())
		if size != int64(len(want)) || !bytes.Equal(got, want) {
			t.Fatalf("peer %s: blob %s is not what it should be", n.cfg.Self, d)
		}
	}
}

// near says that n bytes came, or a little more: on a busy machine a request may
// be repeated elsewhere and both be answered.
func near(n, want int64) bool { return n >= want && n <= want+want/4 }

// finish waits for everybody's WaitAll.
func (s *swarm) finish(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for _, n := range s.nodes {
		n.Complete()
	}
	for _, n := range s.nodes {
		must(t, n.WaitAll(ctx))
	}
}

func await(t *testing.T, result chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(within):
		t.Fatal("it did not end")
		return nil
	}
}
