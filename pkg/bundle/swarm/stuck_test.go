package swarm

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/opencontainers/go-digest"
)

// unreadable is an Upstream that gives only some blobs.
type unreadable struct {
	memory
	not digest.Digest
}

var errUnreadable = errors.New("input/output error")

func (u unreadable) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	if d == u.not {
		return nil, 0, errUnreadable
	}
	return u.memory.Blob(ctx, d)
}

// Feeds that come and go and bring nothing do not keep a peer waiting: only what
// they bring begins its patience anew.
func TestStuckInSpiteOfFeeds(t *testing.T) {
	c := load(t, 62, 500, 400, 2*testPiece)
	s := newSwarm(t, c, 1)
	n := s.start(t, 0, nil)
	n.Want(c.digests()...)
	eventually(t, "it is stuck", func() bool { return n.Status().Stuck > 0 })
	layer := c.parcel.Blobs[2].Digest
	for range 3 {
		before := n.Status().Stuck
		_, result := s.feed(t, n, unreadable{c.source, layer})
		if err := await(t, result); !errors.Is(err, errUnreadable) || !errors.Is(err, ErrFeedHopeless) {
			t.Fatalf("the feed: %v", err)
		}
		if n.Status().Had == 0 {
			t.Error("what could be read has not come")
		}
		if before == 0 {
			t.Error("it is not stuck any more")
		}
		eventually(t, "it is stuck again", func() bool { return n.Status().Stuck > 0 })
	}
	stuck := n.Status().Stuck
	_, result := s.feed(t, n, unreadable{c.source, layer})
	if err := await(t, result); !errors.Is(err, errUnreadable) {
		t.Fatalf("the feed: %v", err)
	}
	eventually(t, "the feed has gone", func() bool { return !n.Status().Feed })
	if got := n.Status().Stuck; got < stuck {
		t.Errorf("it is stuck for %s, after %s", got, stuck)
	}
	s.feed(t, n, c.source)
	s.checkAll(t, n)
	if got := n.Status().Stuck; got != 0 {
		t.Errorf("with all of it, it is stuck for %s", got)
	}
}

// A seed says why the workstation gave up, not that it could not write to it.
func TestSeedSaysWhy(t *testing.T) {
	c := load(t, 63, 500, 400, 2*testPiece)
	s := newSwarm(t, c, 1)
	n := s.start(t, 0, nil)
	n.Want(c.digests()...)
	for range 10 {
		ours, theirs := socketPair(t)
		served := make(chan error, 1)
		go func() { served <- n.ServeFeed(t.Context(), theirs) }()
		if err := Feed(t.Context(), ours, c.parcel, unreadable{c.source, c.parcel.Blobs[2].Digest}, FeedOptions{}); !errors.Is(err, errUnreadable) {
			t.Fatalf("the feed: %v", err)
		}
		if err := await(t, served); !errors.Is(err, errGaveUp) {
			t.Errorf("the seed: %v", err)
		}
	}
}

// socketPair are the two ends of a connection that has a buffer, as a real one.
func socketPair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ours, err = net.Dial("tcp", l.Addr().String())
	must(t, err)
	theirs, err = l.Accept()
	must(t, errors.Join(err, l.Close()))
	return ours, theirs
}

// lateStream is one whose reading end can't be closed from here.
type lateStream struct {
	net.Conn
	held *io.PipeReader
}

func (l *lateStream) Read(b []byte) (int, error) { return l.held.Read(b) }
func (l *lateStream) Close() error               { return nil }
func (l *lateStream) Write(b []byte) (int, error) {
	return len(b), nil
}

// After Feed has returned nobody is told of progress, whatever its stream still says.
func TestNoProgressAfterEnd(t *testing.T) {
	c := load(t, 64, 500, 400, 2*testPiece)
	in, out := io.Pipe()
	told := 0
	ctx, cancel := context.WithCancel(t.Context())
	f := newFrames(&pipeEnd{w: out})
	result := make(chan error, 1)
	first := make(chan struct{}, 10)
	go func() {
		result <- Feed(ctx, &lateStream{held: in}, c.parcel, c.source, FeedOptions{Progress: func(int64, FeedStatus) {
			told++
			first <- struct{}{}
		}})
	}()
	must(t, f.writeJSON(frameHello, hello{Version: feedVersion, Parcel: c.blob.Digest.String(), Size: c.blob.Size}))
	must(t, f.writeJSON(frameStatus, FeedStatus{}))
	<-first
	cancel()
	if err := await(t, result); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	must(t, f.writeJSON(frameStatus, FeedStatus{}))
	must(t, f.write(frameBye, nil))
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// pipeEnd only writes.
type pipeEnd struct {
	io.ReadWriteCloser
	w io.Writer
}

func (p *pipeEnd) Write(b []byte) (int, error) { return p.w.Write(b) }
