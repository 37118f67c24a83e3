package swarm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A peer that has all its bytes and hangs in unpacking them is not waited for for
// ever; one that lacks something is.
func TestWaitAllForOneThatHangs(t *testing.T) {
	c := load(t, 7, 500, 400, 6*testPiece)
	s := newSwarm(t, c, 2)
	const holds = 300 * time.Millisecond
	short := func(cfg *Config) { cfg.HoldsAfter = holds }
	first, second := s.start(t, 0, short), s.start(t, 1, short)
	s.feed(t, first, c.source)
	first.Want(c.digests()...)
	s.checkAll(t, first)
	first.Complete()
	ended := make(chan error, 1)
	go func() { ended <- first.WaitAll(t.Context()) }()
	select {
	case err := <-ended:
		t.Fatalf("one that has not told what it wants was not waited for: %v", err)
	case <-time.After(3 * holds):
	}
	second.Want(c.digests()...)
	s.checkAll(t, second)
	must(t, await(t, ended))
}

// Certain peers can be waited for: until they are done, or gone.
func TestWaitFor(t *testing.T) {
	c := load(t, 7, 500, 400, 6*testPiece)
	s := newSwarm(t, c, 3)
	must(t, s.listeners[2].Close()) // It never comes.
	s.listeners[2] = nil
	const gone = 300 * time.Millisecond
	short := func(cfg *Config) { cfg.NeverAfter = gone }
	first, second := s.start(t, 0, short), s.start(t, 1, short)
	s.feed(t, first, c.source)
	first.Want(c.digests()...)
	second.Want(c.digests()...)
	s.checkAll(t, second)
	must(t, first.WaitFor(t.Context(), nil))
	must(t, first.WaitFor(t.Context(), []string{s.addrs[2]}))
	ended := make(chan error, 1)
	go func() { ended <- first.WaitFor(t.Context(), s.addrs[1:2]) }()
	select {
	case err := <-ended:
		t.Fatalf("one that has all and is not done was not waited for: %v", err)
	case <-time.After(3 * gone):
	}
	second.Complete()
	must(t, await(t, ended))
}

// All is in the swarm only once every peer that is waited for has told what it wants.
func TestAllIn(t *testing.T) {
	c := load(t, 8, 500, 400, 6*testPiece)
	s := newSwarm(t, c, 2)
	must(t, s.listeners[1].Close())
	s.listeners[1] = nil
	first := s.start(t, 0, func(cfg *Config) { cfg.tune.gather = 0 })
	status := func() FeedStatus {
		first.mu.Lock()
		defer first.mu.Unlock()
		return first.feedStatus(time.Now())
	}
	s.feed(t, first, c.source)
	first.Want(c.digests()[0])
	eventually(t, "what is wanted is there", func() bool { got := status(); return got.Wanted > 0 && got.InSwarm == got.Wanted })
	if got := status(); got.AllIn() || got.Awaited != 1 {
		t.Errorf("although a peer was never seen: %+v", got)
	}
	second := s.start(t, 1, nil)
	eventually(t, "the second is there", func() bool { return first.peer(s.addrs[1]).Seen })
	if got := status(); got.AllIn() {
		t.Errorf("although a peer has not said what it wants: %+v", got)
	}
	second.Want(c.digests()...)
	eventually(t, "all is in", func() bool { return status().AllIn() })
	if got := status(); got.Wanted != c.parcel.Size() {
		t.Errorf("got %+v", got)
	}
	second.end(t)
	first.mu.Lock()
	first.Peer.cfg.GoneAfter = time.Millisecond
	first.mu.Unlock()
	eventually(t, "one that is gone is not waited for", func() bool { return status().AllIn() })
}

func TestUnreached(t *testing.T) {
	var u Unreached
	begin := time.Now()
	look := func(after time.Duration, peers ...PeerStatus) (addrs []string) {
		for _, p := range u.Look(peers, begin.Add(after)) {
			addrs = append(addrs, p.Addr)
		}
		return addrs
	}
	away, there, complete := PeerStatus{Addr: "a:1"}, PeerStatus{Addr: "b:1", Reachable: true}, PeerStatus{Addr: "c:1", Complete: true}
	for _, step := range []struct {
		after time.Duration
		peers []PeerStatus
		want  []string
	}{
		{0, []PeerStatus{away, there, complete}, nil},
		{UnreachedAfter - 1, []PeerStatus{away, there, complete}, nil},
		{UnreachedAfter, []PeerStatus{away, there, complete}, []string{"a:1"}},
		{3 * UnreachedAfter, []PeerStatus{away, there, complete}, nil},
		{4 * UnreachedAfter, []PeerStatus{{Addr: "a:1", Reachable: true}}, nil},
		{5 * UnreachedAfter, []PeerStatus{away}, nil},
		{6 * UnreachedAfter, []PeerStatus{away}, []string{"a:1"}},
	} {
		if got := look(step.after, step.peers...); !slices.Equal(got, step.want) {
			t.Errorf("after %s: %v, want %v", step.after, got, step.want)
		}
	}
}

// What was staged of another parcel goes; what is no piece of one is left alone.
func TestSweep(t *testing.T) {
	c := load(t, 9, 500, 400, 2*testPiece)
	s := newSwarm(t, c, 1)
	dir := s.dirs[0]
	other, mine := strings.Repeat("ab", 32), c.parcel.Blobs[2].Digest.Encoded()
	goes := []string{other, "parcel-" + other, "parcel-" + other + ".new"}
	stays := []string{"notes.txt", other[:40], mine}
	for _, name := range append(slices.Clone(goes), stays...) {
		must(t, os.WriteFile(filepath.Join(dir, name), c.source[c.parcel.Blobs[2].Digest][:testPiece], 0o600))
	}
	s.keepParcel(t, 0)
	n := s.start(t, 0, nil)
	_, err := n.Parcel(t.Context())
	must(t, err)
	for _, name := range goes {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range append(stays, "parcel-"+c.blob.Digest.Encoded()) {
		_, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
	}
	if got := n.Status().FoundStaged; got != testPiece {
		t.Errorf("%d bytes were found", got)
	}
}
