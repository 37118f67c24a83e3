package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// In an open swarm peers join that nobody named; in another one they do not.
func TestJoin(t *testing.T) {
	c := load(t, 60, 500, 400, 10*testPiece)
	for _, open := range []bool{true, false} {
		s := newSwarm(t, c, 2)
		first := s.start(t, 0, func(cfg *Config) { cfg.Open, cfg.Peers = open, nil })
		second := s.start(t, 1, nil)
		second.Want(c.digests()...)
		s.feed(t, first, c.source)
		eventually(t, "the second sees the first", func() bool { return second.peer(s.addrs[0]).Reachable })
		if open {
			s.checkAll(t, second)
			continue
		}
		// The second got the parcel, so it was answered.
		_, err := second.Parcel(t.Context())
		must(t, err)
		if n := len(first.Status().Peers); n != 0 {
			t.Errorf("%d peers joined a closed swarm", n)
		}
	}
}

// A fed peer that can't reach another one brings what that wants all the same, when
// the swarm is open; in another one that is stuck, since the feed is of no use to it.
func TestFeedThatDoesNotHear(t *testing.T) {
	for _, open := range []bool{true, false} {
		t.Run(fmt.Sprint("open ", open), func(t *testing.T) { feedThatDoesNotHear(t, open) })
	}
}

func feedThatDoesNotHear(t *testing.T, open bool) {
	c := load(t, 61, 500, 400, 10*testPiece)
	s := newSwarm(t, c, 2)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, dead.Close())
	first := s.start(t, 0, func(cfg *Config) { cfg.Open, cfg.Peers = true, nil })
	// The address by which the second one is known leads nowhere.
	second := s.start(t, 1, func(cfg *Config) { cfg.Open, cfg.Self, cfg.Peers = open, dead.Addr().String(), s.addrs[:1] })
	s.feed(t, first, c.source)
	second.Want(c.digests()...)
	if open {
		s.checkAll(t, second)
		if got := second.Status().FromPeers; got < c.parcel.Size() {
			t.Errorf("%d bytes came from the fed peer", got)
		}
		return
	}
	// It is stuck from the first moment on, and hears of the other's feed later.
	eventually(t, "the second is stuck and knows of the feed", func() bool { return second.peer(s.addrs[0]).Feed && second.Status().Stuck > 0 })
	if second.Status().SwarmFeed {
		t.Errorf("status %+v", second.Status())
	}
	s.feed(t, second, c.source)
	s.checkAll(t, second)
}

// held is a hosted peer in this process, and the workstation's end of it.
type held struct {
	*Held
	dir   string
	ended chan error
}

func hold(t *testing.T, dir string) *held {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	h := &held{dir: dir, ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		err := RunHosted(ctx, inR, outW, dir, func(m string) { t.Logf("hosted: %s", m) })
		h.ended <- errors.Join(err, outW.Close())
	}()
	t.Cleanup(func() {
		cancel()
		_, _ = inW.Close(), outR.Close()
		err := await(t, h.ended)
		h.ended <- err
	})
	var err error
	h.Held, err = Hold(inW, outR, "127.0.0.1:0")
	must(t, err)
	return h
}

// A hosted peer that is fed brings what a process on its host asks for, tells what
// had to be brought, and uses what an earlier run left.
func TestHostedPeer(t *testing.T) {
	c := load(t, 62, 500, 400, 5*testPiece)
	creds, err := bundle.NewPeers([]string{"127.0.0.1"})
	must(t, err)
	dir := filepath.Join(t.TempDir(), "stage")
	for run, want := range []int64{5 * testPiece, 0} {
		h := hold(t, dir)
		must(t, h.Start(HostedSpec{Credentials: creds, Parcel: c.blob}))
		must(t, h.Feed())
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() {
			over <- h.Run(ctx, func() {}, func(rw io.ReadWriteCloser) error {
				return Feed(ctx, rw, c.parcel, c.source, FeedOptions{})
			})
		}()
		client, err := NewClient(Source{Addr: h.Addr(), Credentials: creds}, dir)
		must(t, err)
		blob := c.parcel.Blobs[2].Blob
		if n, err := client.Fetch(ctx, blob); n != want || err != nil {
			t.Errorf("run %d: %d bytes had to be brought, %v", run, n, err)
		}
		f, err := client.Open(blob.Digest)
		must(t, err)
		got, err := io.ReadAll(f)
		must(t, errors.Join(err, f.Close()))
		if digest.FromBytes(got) != blob.Digest {
			t.Error("the blob is not what it should be")
		}
		if _, err := client.Fetch(ctx, bundle.Blob{Digest: digest.FromString("no such thing"), Size: 1}); !errors.Is(err, bundle.ErrMissing) {
			t.Errorf("a blob that is not in the parcel: %v", err)
		}
		if _, err := client.Open(c.parcel.Blobs[0].Digest); !errors.Is(err, bundle.ErrMissing) {
			t.Errorf("a blob that nobody asked for: %v", err)
		}
		client.Close()
		cancel()
		must(t, await(t, over))
		must(t, await(t, h.ended))
		h.ended <- nil
	}
}

// Nobody but the host's own processes has a peer fetch something.
func TestWantFromElsewhere(t *testing.T) {
	c := load(t, 63, 500, 400)
	s := newSwarm(t, c, 1)
	n := s.start(t, 0, func(cfg *Config) { cfg.Open = true })
	s.feed(t, n, c.source)
	client, err := NewClient(Source{Addr: s.addrs[0], Credentials: s.creds}, s.dirs[0])
	must(t, err)
	defer client.Close()
	must(t, second(client.Fetch(t.Context(), c.parcel.Blobs[0].Blob)))
	// From another address of this machine, which stands for another host.
	elsewhere, err := newClientFrom(Source{Addr: s.addrs[0], Credentials: s.creds}, s.dirs[0], net.IPv4(127, 0, 0, 2))
	must(t, err)
	defer elsewhere.Close()
	if err := second(elsewhere.Fetch(t.Context(), c.parcel.Blobs[1].Blob)); err == nil {
		t.Error("it was answered")
	}
	if n.Status().Wanted != c.parcel.Blobs[0].Size {
		t.Errorf("status %+v", n.Status())
	}
}

func second(_ int64, err error) error { return err }

// The process of an interrupted run is waited for, though not for ever.
func TestStagingDirectoryInUse(t *testing.T) {
	c := load(t, 64, 500, 400)
	dir := t.TempDir()
	other, err := openStage(dir)
	must(t, err)
	creds, err := bundle.NewPeers([]string{"127.0.0.1"})
	must(t, err)
	cfg := Config{Listen: "127.0.0.1:0", Self: "127.0.0.1:1", Credentials: creds, Parcel: c.blob, Dir: dir}
	if _, err := newPeerWithin(t.Context(), cfg, 2*inUsePoll); !errors.Is(err, ErrInUse) {
		t.Errorf("error %v", err)
	}
	time.AfterFunc(2*inUsePoll, func() { _ = other.close() })
	p, err := newPeerWithin(t.Context(), cfg, within)
	must(t, err)
	must(t, errors.Join(p.listener.Close(), p.stage.close()))
}

// What was said wrongly, or too late, ends a hosted peer with an error.
func TestHostedPeerIsToldNonsense(t *testing.T) {
	for name, said := range map[string]string{"no JSON": "hello\n", "nothing": "", "another thing": `{"listen":"nowhere"}` + "\n"} {
		in, out := io.Pipe()
		go func() {
			_, err := io.WriteString(out, said)
			_ = out.CloseWithError(err)
		}()
		if err := RunHosted(t.Context(), in, io.Discard, t.TempDir(), func(string) {}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Another port is taken when the one that is preferred is not free.
func TestListenNear(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	near, err := listenNear(t.Context(), l.Addr().String())
	must(t, err)
	if near.Addr().String() == l.Addr().String() {
		t.Error("the port was taken twice")
	}
	must(t, errors.Join(l.Close(), near.Close()))
	if l, err := listenNear(t.Context(), "192.0.2.1:1"); err == nil {
		t.Errorf("it listens on an address of nobody's: %v", l.Close())
	}
}
