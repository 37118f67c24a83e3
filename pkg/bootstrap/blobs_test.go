package bootstrap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// slowBundle has many blobs. Once it was read through, for the parcel, it gives
// half of them and then none until it may go on.
type slowBundle struct {
	blobs map[digest.Digest][]byte
	list  []bundle.Blob
	goOn  chan struct{}

	mu    sync.Mutex
	reads map[digest.Digest]int
	// gave are those that were given since. One may be asked for again: on a slow machine
	// a second host is fed while the first is still at it.
	gave map[digest.Digest]bool
}

func newSlowBundle(n int) *slowBundle {
	b := &slowBundle{blobs: map[digest.Digest][]byte{}, goOn: make(chan struct{}), reads: map[digest.Digest]int{}, gave: map[digest.Digest]bool{}}
	for i := range n {
		content := bytes.Repeat([]byte(fmt.Sprintf("blob %d ", i)), 10000)
		blob := bundle.Blob{Digest: digest.FromBytes(content), Size: int64(len(content))}
		b.blobs[blob.Digest] = content
		b.list = append(b.list, blob)
	}
	return b
}

func (b *slowBundle) Contents() bundle.Contents { return bundle.Contents{} }

func (b *slowBundle) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	content, ok := b.blobs[d]
	if !ok {
		return nil, 0, bundle.ErrMissing
	}
	b.mu.Lock()
	b.reads[d]++
	wait := b.reads[d] > 1 && !b.gave[d] && len(b.gave) == len(b.list)/2
	if b.reads[d] > 1 && !wait {
		b.gave[d] = true
	}
	b.mu.Unlock()
	if wait {
		select {
		case <-b.goOn:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	return io.NopCloser(bytes.NewReader(content)), int64(len(content)), nil
}

// blobSteps are steps on hosts that need all of a bundle.
func blobSteps(list []bundle.Blob, hosts ...string) (steps []plan.Step) {
	var contents bundle.Contents
	for i, b := range list {
		contents.Binaries = append(contents.Binaries, bundle.Binary{Name: fmt.Sprint(i), Blob: b})
	}
	for _, h := range hosts {
		steps = append(steps, plan.Step{ID: "prepare/" + h, Host: h, Spec: prepare.Spec{Contents: contents}})
	}
	return steps
}

// getAll fetches all blobs on a host and compares them.
func (w *world) getAll(b *blobs, name string, from *slowBundle, got *atomic.Int64) error {
	defer b.done()
	source, err := b.open(w.t.Context(), name)
	if err != nil {
		return err
	}
	client, err := swarm.NewClient(source, w.hosts.store(name))
	if err != nil {
		return err
	}
	defer client.Close()
	var each sync.WaitGroup
	errs := make([]error, len(from.list))
	for i, blob := range from.list {
		each.Go(func() {
			if _, errs[i] = client.Fetch(w.t.Context(), blob); errs[i] != nil {
				return
			}
			got.Add(1)
			f, err := client.Open(blob.Digest)
			if err != nil {
				errs[i] = err
				return
			}
			defer f.Close()
			if content, err := io.ReadAll(f); err != nil || !bytes.Equal(content, from.blobs[blob.Digest]) {
				errs[i] = fmt.Errorf("%s is not what it should be: %w", blob.Digest, err)
			}
		})
	}
	each.Wait()
	return errors.Join(errs...)
}

// The host that is fed dies when the others have half of all: another one is fed,
// and only with what none of them has.
func TestFedHostDies(t *testing.T) {
	w := newWorld(t, nil)
	from := newSlowBundle(40)
	b := newBlobs(w.config(), "cp1", from, blobSteps(from.list, "cp1", "cp2", "cp3", "w1"))
	b.settles = 2 * time.Second
	defer b.close()
	var all sync.WaitGroup
	var got [4]atomic.Int64
	errs := make([]error, 4)
	for i, name := range []string{"cp1", "cp2", "cp3", "w1"} {
		all.Go(func() { errs[i] = w.getAll(b, name, from, &got[i]) })
	}
	half := int64(len(from.list) / 2)
	if !poll.Until(3*time.Minute, func() bool { return min(got[1].Load(), got[2].Load(), got[3].Load()) >= half }) {
		t.Fatalf("half of all did not come: %d, %d, %d", got[1].Load(), got[2].Load(), got[3].Load())
	}
	w.hosts.mu.Lock()
	kill := w.hosts.kill["cp1"]
	w.hosts.mu.Unlock()
	kill()
	close(from.goOn)
	all.Wait()
	if errs[0] == nil {
		t.Error("the host that died got all")
	}
	if err := errors.Join(errs[1:]...); err != nil {
		t.Error(err)
	}
	again := 0
	for _, n := range from.reads {
		again += n - 1
	}
	// What was on its way to the host that died may have been lost.
	if most := len(from.list) * 3 / 2; again > most {
		t.Errorf("%d blobs were sent, at most %d should have been", again, most)
	}
}

// A host on which no peer starts holds up nobody, and says why.
func TestPeerThatDoesNotStart(t *testing.T) {
	for _, name := range []string{"cp1", "w1"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			from := newSlowBundle(4)
			close(from.goOn)
			names := []string{"cp1", "cp2", "w1"}
			b := newBlobs(Config{Cluster: w.c, Hosts: brokenHost{w.hosts, name}}, "cp1", from, blobSteps(from.list, names...))
			b.settles = 0
			defer b.close()
			var all sync.WaitGroup
			var got atomic.Int64
			errs := make([]error, len(names))
			for i, n := range names {
				all.Go(func() { errs[i] = w.getAll(b, n, from, &got) })
			}
			all.Wait()
			for i, n := range names {
				if n != name && errs[i] != nil {
					t.Errorf("%s: %v", n, errs[i])
				}
			}
			if err := errs[slices.Index(names, name)]; err == nil || !strings.Contains(err.Error(), name+": no space for agents") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// brokenHost is a host on which agents do not start.
type brokenHost struct {
	Hosts
	name string
}

func (b brokenHost) Pipe(ctx context.Context, host string, args []string) (io.WriteCloser, io.Reader, func() error, error) {
	if host == b.name {
		return nil, nil, nil, errors.New("no space for agents")
	}
	return b.Hosts.Pipe(ctx, host, args)
}

// A bundle that is damaged fails the steps, and they say so.
func TestDamagedBundle(t *testing.T) {
	w := newWorld(t, nil)
	from := newSlowBundle(4)
	close(from.goOn)
	from.blobs[from.list[2].Digest][7]++
	b := newBlobs(w.config(), "cp1", from, blobSteps(from.list, "cp1", "w1"))
	var got atomic.Int64
	for _, name := range []string{"cp1", "w1"} {
		if err := errors.Join(w.getAll(b, name, from, &got), b.why(name)); err == nil || !strings.Contains(err.Error(), "does not match its digest") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
