package swarm

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// small mounts a file system of so many kilobytes.
func small(t *testing.T, dir, size string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small file system can't be mounted here: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

// A peer whose disk is too small says so at once; the others go on, and are not
// kept waiting for it.
func TestDiskIsTooSmall(t *testing.T) {
	c := load(t, 80, 500, 400, 40*testPiece)
	s := newSwarm(t, c, 3)
	small(t, s.dirs[1], "256k")
	for i := range 3 {
		s.start(t, i, nil).Want(c.digests()...)
	}
	_, result := s.feed(t, s.nodes[0], c.source)
	s.checkAll(t, s.nodes[0])
	s.checkAll(t, s.nodes[2])
	_, _, err := s.nodes[1].Blob(t.Context(), c.parcel.Blobs[2].Digest)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), s.dirs[1]) || !strings.Contains(err.Error(), "are needed") {
		t.Errorf("error %v", err)
	}
	left, err := os.ReadDir(s.dirs[1])
	must(t, err)
	for _, f := range left {
		if f.Name() == c.parcel.Blobs[2].Digest.Encoded() {
			t.Errorf("half-written: %s", f.Name())
		}
	}
	s.nodes[1].end(t)
	s.nodes[0].Complete()
	s.nodes[2].Complete()
	if status := s.nodes[1].Status(); !strings.Contains(status.Error, "no space left") {
		t.Errorf("%+v", status)
	}
	select {
	case err := <-result:
		t.Errorf("the feed ended although a peer is missing: %v", err)
	default:
	}
}

// A disk that fills up in the middle leaves nothing half-written.
func TestDiskFillsUp(t *testing.T) {
	c := load(t, 81, 500, 400, 2*testPiece, 40*testPiece)
	s := newSwarm(t, c, 2)
	small(t, s.dirs[1], "1m")
	s.keepParcel(t, 0)
	s.start(t, 0, func(cfg *Config) { cfg.Local, cfg.MaxRate = c.source, 40*testPiece })
	n := s.start(t, 1, nil)
	n.Want(c.digests()...)
	eventually(t, "a part is there", func() bool { return n.Status().Had > 4*testPiece })
	filler, err := os.Create(s.dirs[1] + "/filler")
	must(t, err)
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	must(t, filler.Close())
	if _, _, err := n.Blob(t.Context(), c.parcel.Blobs[3].Digest); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(n.stage.path(c.parcel.Blobs[3].Digest)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half-written: %v", err)
	}
}

// A workstation is told that the seed's disk is full, and goes on with another.
func TestSeedIsFull(t *testing.T) {
	c := load(t, 82, 500, 400, 40*testPiece)
	s := newSwarm(t, c, 2)
	small(t, s.dirs[0], "256k")
	s.start(t, 0, nil)
	s.start(t, 1, nil).Want(c.digests()...)
	_, result := s.feed(t, s.nodes[0], c.source)
	if err := await(t, result); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), s.dirs[0]) {
		t.Errorf("error %v", err)
	}
	s.feed(t, s.nodes[1], c.source)
	s.checkAll(t, s.nodes[1])
}

// A port that is taken is an error at once, and lets go of the directory.
func TestPortIsTaken(t *testing.T) {
	c := load(t, 83, 500, 400)
	s := newSwarm(t, c, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, l.Close()) }()
	cfg := Config{Listen: l.Addr().String(), Self: s.addrs[0], Credentials: s.creds, Parcel: c.blob, Dir: s.dirs[0]}
	if _, err := NewPeer(cfg); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error %v", err)
	}
	s.start(t, 0, nil)
}

// A quota that is used up is a full disk: half-written files go, and the error tells.
func TestQuota(t *testing.T) {
	c := load(t, 84, 500, 400, 4*testPiece)
	s := newSwarm(t, c, 1)
	n := s.start(t, 0, nil)
	s.feed(t, n, c.source)
	n.Want(c.digests()[2])
	eventually(t, "a part is there", func() bool { return n.Status().Had == 4*testPiece })
	err := n.stage.explain(&os.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, 5)
	if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, syscall.EDQUOT) || !strings.Contains(err.Error(), s.dirs[0]) {
		t.Errorf("error %v", err)
	}
	if err := n.stage.explain(nil, 5); err != nil {
		t.Errorf("without a failure: %v", err)
	}
}

// What is staged or in the node's own store needs no more room.
func TestLacks(t *testing.T) {
	c := load(t, 85, 500, 400, 4*testPiece, 3*testPiece)
	s := newSwarm(t, c, 1)
	blobs := c.parcel.Blobs
	local := memory{blobs[3].Digest: c.source[blobs[3].Digest]}
	staged := c.source[blobs[2].Digest][:2*testPiece]
	must(t, os.WriteFile((&stage{dir: s.dirs[0]}).path(blobs[2].Digest), staged, 0o600))
	s.keepParcel(t, 0)
	n := s.start(t, 0, func(cfg *Config) { cfg.Local = local })
	_, err := n.Parcel(t.Context())
	must(t, err)
	unstaged, foreign := n.Lacks(append(c.digests(), "sha256:other")...)
	if unstaged != 900+2*testPiece || foreign != 900+4*testPiece {
		t.Errorf("%d bytes are neither here nor staged, %d not here", unstaged, foreign)
	}
}
