package swarm

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// puppet is a peer that has all and answers for pieces what a test wants. It
// takes the place of peer i.
func (s *swarm) puppet(t *testing.T, i int, piece http.HandlerFunc) {
	t.Helper()
	config, err := s.creds.TLS()
	must(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /piece/{digest}/{number}", piece)
	mux.HandleFunc("GET /parcel", func(w http.ResponseWriter, _ *http.Request) {
		// The other end notices.
		_, _ = w.Write(s.cargo.encoded)
	})
	mux.HandleFunc("GET /have", func(w http.ResponseWriter, r *http.Request) {
		all := newBitset(newLayout(s.cargo.parcel).pieces())
		for n := range len(all) * 8 {
			all.set(n)
		}
		_ = json.NewEncoder(w).Encode(have{Parcel: true, All: all, Wants: []byte{0}, Complete: true})
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	server := &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan struct{})
	l := s.listeners[i]
	go func() {
		defer close(ended)
		// It ends by being closed.
		_ = server.Serve(tls.NewListener(l, config))
	}()
	t.Cleanup(func() {
		must(t, server.Close())
		<-ended
	})
}

// honest answers with what was asked for, changed by change.
func (s *swarm) honest(change func(data []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l := newLayout(s.cargo.parcel)
		for piece := range l.pieces() {
			blob, offset, size := l.at(piece)
			if r.URL.Path != piecePath(blob, offset/l.parcel.PieceSize) {
				continue
			}
			data := append([]byte{}, s.cargo.source[blob.Digest][offset:offset+size]...)
			change(data)
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			// The other end notices.
			_, _ = w.Write(data)
			return
		}
		http.NotFound(w, r)
	}
}

// A peer that lies is dropped; its pieces come from elsewhere.
func TestPeerThatLies(t *testing.T) {
	c := load(t, 20, 500, 400, 20*testPiece)
	s := newSwarm(t, c, 3)
	s.puppet(t, 1, s.honest(func(data []byte) { data[len(data)/2] ^= 1 }))
	first := s.start(t, 0, nil)
	eventually(t, "the liar is seen", func() bool { return first.peer(s.addrs[1]).Reachable })
	first.Want(c.digests()...)
	eventually(t, "the liar is dropped", func() bool { return first.peer(s.addrs[1]).Dropped != "" })
	s.start(t, 2, nil)
	s.feed(t, s.nodes[2], c.source)
	s.checkAll(t, first)
	s.checkAll(t, s.nodes[2])
	status := first.Status()
	if status.Refused == 0 || status.Refused > first.tune.perSource || !near(status.FromPeers, c.parcel.Size()) {
		t.Errorf("%+v", status)
	}
}

// What a source that is no longer asked has does not count as being there.
func TestNobodyHasWhatALiarHas(t *testing.T) {
	c := load(t, 21, 500, 400, 20*testPiece)
	s := newSwarm(t, c, 2)
	s.puppet(t, 1, s.honest(func(data []byte) { data[0] ^= 0x80 }))
	n := s.start(t, 0, nil)
	n.Want(c.digests()...)
	eventually(t, "it is stuck", func() bool {
		status := n.Status()
		return status.NobodyHas == c.parcel.Size() && status.Stuck > 0 && status.Had == 0
	})
	s.feed(t, n, c.source)
	s.checkAll(t, n)
}

func (n *node) peer(addr string) PeerStatus {
	for _, p := range n.Status().Peers {
		if p.Addr == addr {
			return p
		}
	}
	return PeerStatus{}
}

// A source that is far too slow holds up nobody.
func TestSlowPeer(t *testing.T) {
	c := load(t, 22, 500, 400, 60*testPiece)
	s := newSwarm(t, c, 3)
	copyAll := func(cfg *Config) { cfg.Local = c.source }
	s.keepParcel(t, 0)
	s.start(t, 0, copyAll)
	s.start(t, 1, func(cfg *Config) { copyAll(cfg); cfg.MaxRate = 512 })
	n := s.start(t, 2, nil)
	eventually(t, "both are seen", func() bool {
		return n.peer(s.addrs[0]).Reachable && n.peer(s.addrs[1]).Reachable
	})
	began := time.Now()
	s.checkAll(t, n)
	// A single piece takes 32 seconds from the slow one.
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("it took %s", took)
	}
}

// A source that takes requests and says nothing holds up nobody, and is asked
// again when it lives again.
func TestStalledPeer(t *testing.T) {
	c := load(t, 23, 500, 400, 30*testPiece)
	s := newSwarm(t, c, 3)
	s.puppet(t, 1, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "16384")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	n := s.start(t, 0, nil)
	eventually(t, "it is seen", func() bool { return n.peer(s.addrs[1]).Reachable })
	n.Want(c.digests()...)
	s.start(t, 2, func(cfg *Config) { cfg.Local = c.source })
	s.checkAll(t, n)
	if status := n.Status(); !near(status.FromPeers, c.parcel.Size()) {
		t.Errorf("%+v", status)
	}
}

// What only a peer has that does not get on with giving it is asked of the feed
// after all.
func TestOnlyASlowPeerHasIt(t *testing.T) {
	c := load(t, 27, 500, 400, 10*testPiece)
	s := newSwarm(t, c, 3)
	s.puppet(t, 1, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	hurry := func(cfg *Config) { cfg.tune.heldUp = 300 * time.Millisecond }
	s.start(t, 0, hurry)
	s.start(t, 2, hurry)
	eventually(t, "it is seen", func() bool {
		return s.nodes[0].peer(s.addrs[1]).Reachable && s.nodes[2].peer(s.addrs[1]).Reachable
	})
	s.feed(t, s.nodes[0], c.source)
	s.checkAll(t, s.nodes[2])
}

// A peer that is stopped in the middle is no harm to the others, and finishes
// when it is started again.
func TestPeerStopsInTheMiddle(t *testing.T) {
	c := load(t, 24, 500, 400, 60*testPiece)
	s := newSwarm(t, c, 4)
	for i := range 4 {
		s.start(t, i, func(cfg *Config) { cfg.MaxRate = 100 * testPiece }).Want(c.digests()...)
	}
	s.feed(t, s.nodes[0], c.source)
	victim := s.nodes[2]
	eventually(t, "it is under way", func() bool { return victim.Status().Had > 5*testPiece })
	victim.end(t)
	for _, i := range []int{0, 1, 3} {
		s.checkAll(t, s.nodes[i])
	}
	again := s.start(t, 2, nil)
	s.checkAll(t, again)
	if status := again.Status(); status.FoundStaged == 0 || !near(status.FoundStaged+status.FromPeers, c.parcel.Size()) {
		t.Errorf("%+v", status)
	}
	if sent := s.feeds.Load(); sent > c.parcel.Size()*105/100 {
		t.Errorf("%d bytes left the workstation", sent)
	}
}
