package swarm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// A feed that is cut off goes on at another peer with what is missing.
func TestFeedMovesOn(t *testing.T) {
	c := load(t, 40, 500, 400, 80*testPiece)
	s := newSwarm(t, c, 3)
	for i := range 3 {
		s.start(t, i, nil).Want(c.digests()...)
	}
	slow := &gated{memory: c.source, open: make(chan struct{}), after: 30 * testPiece}
	cut, result := s.feed(t, s.nodes[0], slow)
	eventually(t, "a part is there", func() bool { return s.nodes[0].Status().Had > 25*testPiece })
	cut()
	close(slow.open)
	if err := await(t, result); !errors.Is(err, ErrFeedEnded) {
		t.Errorf("a feed that was cut off: %v", err)
	}
	eventually(t, "it is noticed", func() bool { return !s.nodes[0].Status().Feed })
	_, result = s.feed(t, s.nodes[1], c.source)
	for _, n := range s.nodes {
		s.checkAll(t, n)
	}
	s.finish(t)
	must(t, await(t, result))
	// What was on its way when it was cut off goes twice, at most a window.
	if sent, most := s.feeds.Load(), c.parcel.Size()*105/100+s.nodes[0].tune.window; sent > most {
		t.Errorf("%d bytes left the workstation, at most %d may", sent, most)
	}
}

// gated is an Upstream that stops after so many bytes until it is opened.
type gated struct {
	memory
	open  chan struct{}
	after int64
}

func (g *gated) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	data, ok := g.memory[d]
	if !ok {
		return nil, 0, bundle.ErrMissing
	}
	r := &gatedReader{Reader: bytes.NewReader(data), gated: g}
	return r, int64(len(data)), nil
}

type gatedReader struct {
	*bytes.Reader
	gated *gated
}

func (g *gatedReader) ReadAt(b []byte, offset int64) (int, error) {
	if offset >= g.gated.after {
		<-g.gated.open
	}
	return g.Reader.ReadAt(b, offset)
}

func (g *gatedReader) Close() error { return nil }

// Two workstations that feed at once are no harm.
func TestTwoFeeds(t *testing.T) {
	c := load(t, 41, 500, 400, 50*testPiece)
	s := newSwarm(t, c, 2)
	for i := range 2 {
		s.start(t, i, nil).Want(c.digests()...)
	}
	_, first := s.feed(t, s.nodes[0], c.source)
	_, second := s.feed(t, s.nodes[1], c.source)
	for _, n := range s.nodes {
		s.checkAll(t, n)
	}
	s.finish(t)
	must(t, await(t, first))
	must(t, await(t, second))
}

// What an earlier run staged is used as far as it is still right.
func TestStagedFileHasChanged(t *testing.T) {
	c := load(t, 42, 500, 400, 20*testPiece)
	s := newSwarm(t, c, 1)
	n := s.start(t, 0, nil)
	_, result := s.feed(t, n, c.source)
	s.checkAll(t, n)
	n.Complete()
	must(t, await(t, result))
	n.end(t)

	blob := c.parcel.Blobs[2].Digest
	f, err := os.OpenFile(filepath.Join(s.dirs[0], blob.Encoded()), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("not what was there"), 7*testPiece+100)
	must(t, err)
	must(t, f.Truncate(19*testPiece+5))
	must(t, f.Close())

	s.feeds.Store(0)
	n = s.start(t, 0, nil)
	_, result = s.feed(t, n, c.source)
	s.checkAll(t, n)
	n.Complete()
	must(t, await(t, result))
	status := n.Status()
	if status.FromFeed != 2*testPiece || status.FoundStaged != c.parcel.Size()-2*testPiece {
		t.Errorf("%+v", status)
	}
}

// A file that changes under a running peer is noticed before it is given out,
// and fetched again.
func TestStagedFileChangesMeanwhile(t *testing.T) {
	c := load(t, 43, 500, 400, 20*testPiece)
	s := newSwarm(t, c, 1)
	n := s.start(t, 0, nil)
	n.Want(c.digests()...)
	s.feed(t, n, c.source)
	eventually(t, "all is there", func() bool { st := n.Status(); return st.Wanted > 0 && st.Had == st.Wanted })
	must(t, os.WriteFile(filepath.Join(s.dirs[0], c.parcel.Blobs[2].Digest.Encoded()), make([]byte, 20*testPiece), 0o600))
	s.checkAll(t, n)
}

// What the node has elsewhere is neither fetched nor staged, and served.
func TestLocal(t *testing.T) {
	c := load(t, 44, 500, 400, 20*testPiece, 10*testPiece)
	list := c.digests()
	half := memory{list[0]: c.source[list[0]], list[2]: c.source[list[2]]}
	s := newSwarm(t, c, 2)
	s.start(t, 0, func(cfg *Config) { cfg.Local = half }).Want(list...)
	s.start(t, 1, nil).Want(list...)
	s.feed(t, s.nodes[1], c.source)
	s.checkAll(t, s.nodes[0])
	s.checkAll(t, s.nodes[1])
	first, second := s.nodes[0].Status(), s.nodes[1].Status()
	missing := int64(400 + 10*testPiece)
	if first.FoundLocally != 500+20*testPiece || !near(first.FromPeers, missing) {
		t.Errorf("the one that has it: %+v", first)
	}
	if !near(second.FromPeers, first.FoundLocally) || second.FromFeed != missing+c.blob.Size {
		t.Errorf("the other: %+v", second)
	}
	if _, err := os.Stat(filepath.Join(s.dirs[0], list[2].Encoded())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was staged: %v", err)
	}
}

// A blob that is wrong on the node's disk is not given to others, nor used.
func TestLocalIsWrong(t *testing.T) {
	c := load(t, 45, 500, 400, 20*testPiece)
	list := c.digests()
	bad := append([]byte{}, c.source[list[2]]...)
	for n := 0; n < len(bad); n += testPiece {
		bad[n] ^= 1
	}
	s := newSwarm(t, c, 2)
	s.start(t, 0, func(cfg *Config) { cfg.Local = memory{list[2]: bad} })
	other := s.start(t, 1, nil)
	eventually(t, "it is seen", func() bool { return other.Status().Peers[0].Reachable })
	s.feed(t, other, c.source)
	s.checkAll(t, other)
	if status := other.Status(); status.Refused != 0 || status.Peers[0].Dropped != "" {
		t.Errorf("%+v", status)
	}
	s.checkAll(t, s.nodes[0])
}

// A parcel whose pieces together are not the blob is found out.
func TestParcelThatLies(t *testing.T) {
	c := load(t, 46, 500, 400, 20*testPiece)
	wrong := noise(999, 20*testPiece)
	d := c.parcel.Blobs[2].Digest
	l := newLayout(c.parcel)
	c.source[digest.FromBytes(wrong)] = wrong
	pieces, err := sumPieces(t.Context(), bundle.Blob{Digest: digest.FromBytes(wrong), Size: int64(len(wrong))}, c.source, testPiece)
	must(t, err)
	l.parcel.Blobs[2].Pieces = pieces
	delete(c.source, digest.FromBytes(wrong))
	c.source[d] = wrong
	c.encoded, c.blob = c.parcel.Encode()
	s := newSwarm(t, c, 1)
	n := s.start(t, 0, nil)
	s.feed(t, n, c.source)
	if _, _, err := n.Blob(t.Context(), d); !errors.Is(err, errWrong) {
		t.Errorf("error %v", err)
	}
	if _, _, err := n.Blob(t.Context(), digest.FromString("other")); !errors.Is(err, bundle.ErrMissing) {
		t.Errorf("error %v", err)
	}
	if _, _, err := n.Blob(t.Context(), "sha256:../../etc/passwd"); err == nil {
		t.Error("a path passes for a digest")
	}
}
