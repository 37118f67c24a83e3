package swarm

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
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

// Who has no certificate of the same CA gets nothing, and neither does one who
// pretends to be a peer.
func TestWithoutCertificate(t *testing.T) {
	c := load(t, 25, 500, 400)
	s := newSwarm(t, c, 2)
	s.start(t, 0, func(cfg *Config) { cfg.Local = c.source })
	others, err := bundle.NewPeers([]string{"127.0.0.1"})
	must(t, err)
	foreign, err := others.TLS()
	must(t, err)
	ours, err := s.creds.TLS()
	must(t, err)
	for name, config := range map[string]*tls.Config{
		"none":    {RootCAs: ours.RootCAs},
		"foreign": {RootCAs: ours.RootCAs, Certificates: foreign.Certificates},
	} {
		for _, proto := range []string{"http/1.1", FeedProtocol} {
			config.NextProtos = []string{proto}
			conn, err := tls.Dial("tcp", s.addrs[0], config)
			if err == nil {
				// With TLS 1.3 the refusal comes with the first read.
				_, err = io.WriteString(conn, "GET /parcel HTTP/1.1\r\nHost: x\r\n\r\n")
				must(t, err)
				must(t, conn.SetReadDeadline(time.Now().Add(within)))
				var n int
				if n, err = conn.Read(make([]byte, 1)); n > 0 {
					t.Errorf("%s, %s: it was answered", name, proto)
				}
				_ = conn.Close()
			}
			var timeout net.Error
			if err == nil || (errors.As(err, &timeout) && timeout.Timeout()) {
				t.Errorf("%s, %s: %v", name, proto, err)
			}
		}
	}
	// The other way: a peer with other credentials is not believed.
	l := s.listeners[1]
	served := make(chan error, 1)
	go func() {
		server := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0)}
		context.AfterFunc(t.Context(), func() { _ = server.Close() })
		served <- server.Serve(tls.NewListener(l, foreign))
	}()
	eventually(t, "it is refused", func() bool {
		return strings.Contains(s.nodes[0].peer(s.addrs[1]).LastError, "certificate")
	})
	if s.nodes[0].peer(s.addrs[1]).Seen {
		t.Error("a stranger counts as a peer")
	}
}

// lyingFeed answers as Feed does; wrong says which answers have a flipped bit.
func lyingFeed(rw io.ReadWriteCloser, c cargo, wrong func(piece, time int) bool) error {
	f := newFrames(rw)
	if err := f.writeJSON(frameHello, hello{Version: feedVersion, Parcel: c.blob.Digest.String(), Size: c.blob.Size}); err != nil {
		return err
	}
	l, times := newLayout(c.parcel), map[int]int{}
	queue := make(chan uint32, 2*maxAsks)
	var writing sync.WaitGroup
	defer writing.Wait()
	defer close(queue)
	writing.Go(func() {
		for n := range queue {
			data := append([]byte{}, c.encoded...)
			if n != askParcel {
				blob, offset, size := l.at(int(n))
				data = append([]byte{}, c.source[blob.Digest][offset:offset+size]...)
				if times[int(n)]++; wrong(int(n), times[int(n)]) {
					data[0] ^= 1
				}
			}
			for len(data) > 0 {
				part := data[:min(len(data), chunk)]
				// Reading notices when it is over.
				_ = f.writeData(n, part)
				data = data[len(part):]
			}
		}
	})
	for {
		kind, payload, err := f.read()
		if err != nil {
			return err
		}
		switch kind {
		case frameError:
			return errors.New(string(payload))
		case frameAsk:
			n, _, err := number(payload)
			if err != nil {
				return err
			}
			queue <- n
		}
	}
}

// A wrong piece from the feed is refused and asked for again, but not for ever.
func TestFeedThatLies(t *testing.T) {
	c := load(t, 26, 500, 400, 10*testPiece)
	for name, test := range map[string]struct {
		wrong func(piece, time int) bool
		fails bool
	}{
		"twice":  {func(piece, time int) bool { return piece == 5 && time <= 2 }, false},
		"always": {func(piece, _ int) bool { return piece == 5 }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSwarm(t, c, 1)
			n := s.start(t, 0, nil)
			n.Want(c.digests()...)
			here, there := net.Pipe()
			told := make(chan error, 1)
			go func() { told <- lyingFeed(here, c, test.wrong) }()
			served := make(chan error, 1)
			go func() { served <- n.ServeFeed(t.Context(), there) }()
			if !test.fails {
				s.checkAll(t, n)
				n.Complete()
				must(t, await(t, served))
				<-told
				if got := n.Status().Refused; got != 2 {
					t.Errorf("%d pieces were refused", got)
				}
				return
			}
			if err := await(t, served); !errors.Is(err, errWrong) {
				t.Errorf("serving: %v", err)
			}
			if err := await(t, told); err == nil || !strings.Contains(err.Error(), "piece 5") {
				t.Errorf("the feed was told: %v", err)
			}
			s.feed(t, n, c.source)
			s.checkAll(t, n)
		})
	}
}
