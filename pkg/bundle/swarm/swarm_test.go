package swarm

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// Whatever the number of peers, all get all, and each byte leaves the
// workstation once.
func TestAllGetAll(t *testing.T) {
	c := load(t, 1, 700, 300, 40*testPiece, 20*testPiece+17, testPiece, 1)
	for _, n := range []int{1, 4, 8} {
		t.Run(fmt.Sprint(n, " peers"), func(t *testing.T) {
			s := newSwarm(t, c, n)
			for i := range n {
				s.start(t, i, nil).Want(c.digests()...)
			}
			_, result := s.feed(t, s.nodes[0], c.source)
			began := time.Now()
			for _, node := range s.nodes {
				s.checkAll(t, node)
			}
			t.Logf("all there after %s", time.Since(began))
			s.finish(t)
			t.Logf("all know after %s", time.Since(began))
			must(t, await(t, result))
			if sent, most := s.feeds.Load(), c.parcel.Size()*105/100; sent > most {
				t.Errorf("%d bytes left the workstation, at most %d may; the blobs have %d", sent, most, c.parcel.Size())
			}
			for i, node := range s.nodes {
				status := node.Status()
				if i > 0 && (status.FromFeed != 0 || !near(status.FromPeers, c.parcel.Size())) {
					t.Errorf("peer %d: %+v", i, status)
				}
				if status.Had != status.Wanted || status.NobodyHas != 0 || status.Refused != 0 {
					t.Errorf("peer %d: %+v", i, status)
				}
			}
		})
	}
}

// A peer that wants only a part gets only that, the seed also what it does not
// want itself.
func TestOnlyWhatIsWanted(t *testing.T) {
	c := load(t, 2, 500, 400, 10*testPiece, 12*testPiece)
	s := newSwarm(t, c, 2)
	list := c.digests()
	s.start(t, 0, nil).Want(list[0], list[1])
	s.start(t, 1, nil).Want(list[0], list[2])
	s.feed(t, s.nodes[0], c.source)
	eventually(t, "both have what they want", func() bool {
		a, b := s.nodes[0].Status(), s.nodes[1].Status()
		return a.Wanted == 900 && a.Had == 900 && b.Wanted == 500+10*testPiece && b.Had == b.Wanted
	})
	if got := s.nodes[1].Status().FromPeers; !near(got, 500+10*testPiece) {
		t.Errorf("the second got %d bytes", got)
	}
	if got := s.nodes[0].Status().FromFeed - c.blob.Size; got != 900+10*testPiece {
		t.Errorf("the seed got %d bytes from the feed", got)
	}
}

// All ends with the context, whatever is under way.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("swarm", func(t *testing.T) {
		c := load(t, 3, 500, 400, 50*testPiece)
		s := newSwarm(t, c, 4)
		for i := range 4 {
			s.start(t, i, func(cfg *Config) { cfg.MaxRate = 40 * testPiece }).Want(c.digests()...)
		}
		s.feed(t, s.nodes[0], c.source)
		eventually(t, "it is under way", func() bool { return s.nodes[3].Status().Had > 0 })
	})
	// A goroutine that has done its work may not have ended yet.
	if n := 0; !poll.Until(within, func() bool { n = runtime.NumGoroutine(); return n <= before }) {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines are left: %s", n-before, stacks[:runtime.Stack(stacks, true)])
	}
}

// The feed also comes over the listening port, with the credentials.
func TestFeedOverTLS(t *testing.T) {
	c := load(t, 4, 500, 400, 30*testPiece)
	s := newSwarm(t, c, 1)
	n := s.start(t, 0, nil)
	conn, err := DialFeed(t.Context(), s.addrs[0], s.creds)
	must(t, err)
	result := make(chan error, 1)
	var last FeedStatus
	go func() {
		result <- Feed(t.Context(), conn, c.parcel, c.source, FeedOptions{
			Progress: func(_ int64, status FeedStatus) { last = status }})
	}()
	s.checkAll(t, n)
	n.Complete()
	must(t, await(t, result))
	if !last.Done || !last.AllIn() || last.Wanted != c.parcel.Size() || len(last.Peers) != 1 || !last.Peers[0].Complete {
		t.Errorf("the last status: %+v", last)
	}
}

// WaitAll does not wait for ever for peers that are gone or never come.
func TestWaitAllGivesUp(t *testing.T) {
	c := load(t, 5, 500, 400)
	s := newSwarm(t, c, 3)
	short := func(cfg *Config) { cfg.GoneAfter, cfg.NeverAfter = 200*time.Millisecond, 400*time.Millisecond }
	must(t, s.listeners[2].Close())
	first, second := s.start(t, 0, short), s.start(t, 1, short)
	eventually(t, "they see each other", func() bool {
		return first.Status().Peers[0].Seen || first.Status().Peers[1].Seen
	})
	second.end(t)
	first.Complete()
	must(t, first.WaitAll(t.Context()))
	for _, p := range first.Status().Peers {
		if p.Reachable || p.Seen != (p.Addr == s.addrs[1]) {
			t.Errorf("%+v", p)
		}
	}
}

// Two processes do not share a staging directory.
func TestOneProcessPerDirectory(t *testing.T) {
	c := load(t, 6, 500, 400)
	s := newSwarm(t, c, 1)
	n := s.start(t, 0, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, l.Close()) }()
	cfg := n.cfg
	cfg.Listener = l
	if _, err := NewPeer(cfg); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("error %v", err)
	}
}
