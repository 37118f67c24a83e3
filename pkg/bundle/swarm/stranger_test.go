package swarm

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

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
	// So that what is refused below would be answered.
	known := ours.Clone()
	known.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", s.addrs[0], known)
	must(t, err)
	_, err = io.WriteString(conn, "GET /parcel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(within)))
	line, err := bufio.NewReader(conn).ReadString('\n')
	must(t, errors.Join(err, conn.Close()))
	if !strings.HasPrefix(line, "HTTP/1.1 ") {
		t.Errorf("with the right certificate: %q", line)
	}
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
