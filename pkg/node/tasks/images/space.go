package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// full is how little room is left on a full disk, in bytes.
const full = 16 << 20

// unpacks is how many times larger than it came a layer is on the disk once it is
// unpacked, as a rule: what gzip makes of programs.
const unpacks = 3

// defaultRoot is where containerd keeps all it has unless told otherwise.
const defaultRoot = "/var/lib/containerd"

// errNoRoom is wrapped, beside syscall.ENOSPC, when it was refused before anything
// was written.
var errNoRoom = errors.New("there is not enough room")

// demand is so many bytes for a directory.
type demand struct {
	dir   string
	bytes int64
}

// disk is what one disk has, and has to take, in bytes.
type disk struct {
	dir                string
	total, free, needs int64
}

// checkSpace refuses what can't fit into containerd: the layers as they come, and
// unpacked, which is no less. How much more that is nobody can tell before. What is
// on the node already, in containerd or staged by an earlier run, needs no more room.
func (t *task) checkSpace(ctx context.Context, missing []bundle.Image) error {
	blobs, layers, err := ctrd.Directories(ctx, t.socket)
	if err != nil {
		return err
	}
	t.space.begin(blobs, layers, missing)
	unstaged, foreign := t.peer.Lacks(digests(missing)...)
	disks, err := disksOf(append(t.space.demands(foreign, 1), demand{t.env.Host.Path(StagingDir), unstaged}))
	if err != nil {
		return err
	}
	keeps, err := readReserve(t.env.Host)
	if err != nil {
		return err
	}
	for _, d := range disks {
		warning, err := keeps.judge(d)
		if err != nil {
			return fmt.Errorf("%d images: %w", len(missing), err)
		}
		if warning != "" {
			t.env.Sink.Emit(report.Event{Kind: report.Warning, Message: warning,
				Hint: "make room on the node: kubectl ha images prune, or a larger disk"})
		}
	}
	return nil
}

// disksOf sums up what each disk has to take, the first demand's disk first.
func disksOf(list []demand) ([]disk, error) {
	var out []disk
	var ids []uint64
	for _, d := range list {
		id, total, free, err := room(d.dir)
		if err != nil {
			return nil, err
		}
		at := slices.Index(ids, id)
		if at < 0 {
			at, ids, out = len(ids), append(ids, id), append(out, disk{dir: d.dir, total: total, free: free})
		}
		out[at].needs += d.bytes
	}
	return out, nil
}

// space remembers where containerd keeps what it has, and what it still is to take.
type space struct {
	mu            sync.Mutex
	blobs, layers string
	left          map[string]bundle.Image
}

func (s *space) begin(blobs, layers string, missing []bundle.Image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs, s.layers, s.left = blobs, layers, map[string]bundle.Image{}
	for _, i := range missing {
		s.left[i.Ref] = i
	}
}

// done notes an image that is in place.
func (s *space) done(ref string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.left, ref)
}

// remaining is what is left to be imported, in bytes.
func (s *space) remaining() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var c bundle.Contents
	for _, i := range s.left {
		c.Images = append(c.Images, i)
	}
	return sizeOf(c.Blobs())
}

// demands are containerd's for so many bytes as they come, each so many times as
// large when unpacked.
func (s *space) demands(bytes, times int64) []demand {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []demand{{s.blobs, bytes}, {s.layers, times * bytes}}
	for i := range out {
		if out[i].dir == "" {
			out[i].dir = defaultRoot
		}
	}
	return out
}

// diskFull tells whether an error is a full disk's. containerd tells its own as a
// text, and has cleaned up by then, so it is asked whether what was left to be
// imported would have fitted.
func (t *task) diskFull(err error) bool {
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return false
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return true
	}
	list := []demand{{t.env.Host.Path(host.StateDir), 0}}
	if errors.Is(err, errImport) {
		list = append(list, t.space.demands(t.space.remaining(), unpacks)...)
	}
	disks, failed := disksOf(list)
	// Without an answer it is not known to be full.
	return failed == nil && slices.ContainsFunc(disks, func(d disk) bool { return d.free < max(full, d.needs) })
}

func sizeOf(blobs []bundle.Blob) (n int64) {
	for _, b := range blobs {
		n += b.Size
	}
	return n
}
