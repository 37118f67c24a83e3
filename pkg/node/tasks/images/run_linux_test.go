package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/ctrdtest"
)

const deadline = 3 * time.Minute

// world is a few hosts with a containerd each, and what is to be pushed to them.
type world struct {
	*testing.T
	store       *bundle.Store
	parcel      *swarm.Parcel
	images      []bundle.Image
	credentials bundle.Peers
	addresses   []string
	tasks       []*task
}

func newWorld(t *testing.T, hosts int) *world {
	t.Helper()
	w := &world{T: t, store: bundle.OpenStore(t.TempDir())}
	for i := range hosts {
		w.addresses = append(w.addresses, w.port())
		w.tasks = append(w.tasks, w.task(ctrdtest.Daemon(t), i))
	}
	w.images = []bundle.Image{
		ctrdtest.Image(t, w.store, "example.com/api:1", strings.Repeat("api", 3<<20)),
		ctrdtest.Image(t, w.store, "example.com/app:1", strings.Repeat("app", 1<<20)),
	}
	w.images[0].For = []v1alpha1.Role{v1alpha1.RoleControlPlane}
	w.only(w.images...)
	w.tasks[0].spec.Roles = []v1alpha1.Role{v1alpha1.RoleControlPlane}
	return w
}

// only makes these images what is pushed.
func (w *world) only(images ...bundle.Image) {
	w.Helper()
	var err error
	if w.parcel, err = swarm.NewParcelWith(w.Context(), nil, images, w.store); err != nil {
		w.Fatal(err)
	}
	if w.credentials, err = bundle.NewPeers([]string{"127.0.0.1"}); err != nil {
		w.Fatal(err)
	}
	_, identity := w.parcel.Encode()
	for _, one := range w.tasks {
		one.spec.Peers, one.spec.Parcel, one.spec.Credentials = w.addresses, identity, w.credentials
	}
}

// port finds an address that is free.
func (w *world) port() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nobody has connected
	return l.Addr().String()
}

// task makes one host's, below a directory of its own with a short name, since a
// socket lies in it.
func (w *world) task(socket string, i int) *task {
	root, err := os.MkdirTemp("", "img")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			w.Error(err)
		}
	})
	for _, dir := range []string{"/run", defaultRoot, host.StateDir} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			w.Fatal(err)
		}
	}
	// How full the disk of this machine is must not matter.
	config := filepath.Join(root, kubeletConfig)
	if err := errors.Join(os.MkdirAll(filepath.Dir(config), 0o755), os.WriteFile(config, []byte("imageGCHighThresholdPercent: 100\nevictionHard: {nodefs.available: 0%, imagefs.available: 0%}\n"), 0o644)); err != nil {
		w.Fatal(err)
	}
	ledger, err := host.OpenLedger(root, "test")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := ledger.Close(); err != nil {
			w.Error(err)
		}
	})
	h, err := host.Open(host.Options{Root: root, Ledger: ledger})
	if err != nil {
		w.Fatal(err)
	}
	name := fmt.Sprintf("host %d", i)
	env := node.Env{Host: h, Sink: report.SinkFunc(func(e report.Event) { w.Log(name, e.Message) }),
		Progress: func(format string, args ...any) { w.Log(name, fmt.Sprintf(format, args...)) }}
	return &task{env: env, socket: socket, feedSocket: FeedSocket,
		spec: Spec{Self: w.addresses[i], Roles: []v1alpha1.Role{v1alpha1.RoleWorker}}}
}

type outcome struct {
	data Data
	err  error
}

// start runs a host's task.
func (w *world) start(ctx context.Context, i int) <-chan outcome {
	out := make(chan outcome, 1)
	t := w.tasks[i]
	fresh := &task{env: t.env, spec: t.spec, socket: t.socket, feedSocket: t.feedSocket}
	go func() {
		data, err := fresh.run(ctx)
		out <- outcome{data, fresh.explain(err)}
	}()
	return out
}

// feed is the workstation, by way of `agent feed`.
func (w *world) feed(ctx context.Context, i int) <-chan error { return w.feedFrom(ctx, i, w.store) }

// feedFrom feeds from another source.
func (w *world) feedFrom(ctx context.Context, i int, source bundle.Upstream) <-chan error {
	out := make(chan error, 1)
	go func() {
		stdin, input := io.Pipe()
		output, stdout := io.Pipe()
		go func() {
			err := Feed(ctx, w.tasks[i].env.Host.Path(FeedSocket), stdin, stdout)
			_, _ = stdin.CloseWithError(err), stdout.CloseWithError(io.EOF)
		}()
		out <- swarm.Feed(ctx, &pipe{output, input}, w.parcel, source, swarm.FeedOptions{})
	}()
	return out
}

type pipe struct {
	*io.PipeReader
	w *io.PipeWriter
}

func (p *pipe) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p *pipe) Close() error                { return errors.Join(p.PipeReader.Close(), p.w.Close()) }

func (w *world) await(o <-chan outcome) outcome {
	w.Helper()
	select {
	case got := <-o:
		return got
	case <-time.After(deadline):
		w.Fatal("the task did not end")
		return outcome{}
	}
}

// has tells whether an image is in place on a host.
func (w *world) has(i int, image bundle.Image) bool {
	w.Helper()
	missing, err := ctrd.Missing(w.Context(), w.tasks[i].socket, []bundle.Image{image}, ctrd.ImportOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return len(missing) == 0
}

func (w *world) staged(i int) bool {
	_, err := os.Stat(w.tasks[i].env.Host.Path(StagingDir))
	return err == nil
}

// little is more than a parcel's own list, and less than any image here.
const little = 64 << 10

// TestRun pushes to two hosts: each gets what is for it, all of it once from the
// workstation, and nothing is left over. Again: nothing but the list moves.
func TestRun(t *testing.T) {
	w := newWorld(t, 2)
	one, two := w.start(t.Context(), 0), w.start(t.Context(), 1)
	fed := w.feed(t.Context(), 0)
	a, b := w.await(one), w.await(two)
	if a.err != nil || b.err != nil {
		t.Fatalf("got %+v, %+v", a, b)
	}
	if err := <-fed; err != nil {
		t.Errorf("the feed: %v", err)
	}
	if !w.has(0, w.images[0]) || !w.has(0, w.images[1]) || w.has(1, w.images[0]) || !w.has(1, w.images[1]) {
		t.Error("the images are not where they belong")
	}
	if a.data.Imported != 2 || b.data.Imported != 1 || a.data.FromFeed+b.data.FromFeed > w.parcel.Size()*105/100 || b.data.FromFeed > little {
		t.Errorf("data %+v, %+v of %d bytes", a.data, b.data, w.parcel.Size())
	}
	if w.staged(0) || w.staged(1) {
		t.Error("something is left in a staging directory")
	}
	one, two = w.start(t.Context(), 0), w.start(t.Context(), 1)
	w.feed(t.Context(), 1)
	a, b = w.await(one), w.await(two)
	if a.err != nil || b.err != nil || a.data.Imported+b.data.Imported > 0 || a.data.FromFeed+b.data.FromFeed+a.data.FromPeers+b.data.FromPeers > little {
		t.Errorf("again: got %+v, %+v", a, b)
	}
}

// TestRunFullDisk: a host whose disk is full says so and keeps nothing; the other
// one gets all.
func TestRunFullDisk(t *testing.T) {
	w := newWorld(t, 2)
	// What is staged is removed, and never what is mounted: the disk is that of the directory above.
	disk, dir := w.tasks[1].env.Host.Path(host.StateDir), w.tasks[1].env.Host.Path(StagingDir)
	if err := os.MkdirAll(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	one, two := w.start(t.Context(), 0), w.start(t.Context(), 1)
	w.feed(t.Context(), 0)
	b := w.await(two)
	if !errors.Is(b.err, syscall.ENOSPC) || !strings.Contains(host.Hint(b.err), "make room") {
		t.Errorf("the full host: %v, %q", b.err, host.Hint(b.err))
	}
	if a := w.await(one); a.err != nil || !w.has(0, w.images[0]) || !w.has(0, w.images[1]) {
		t.Errorf("the other host: %+v", a)
	}
	if left, err := os.ReadDir(dir); !errors.Is(err, fs.ErrNotExist) || w.has(1, w.images[1]) {
		t.Errorf("the full host has kept %v, %v", left, err)
	}
}

// TestRunNobody waits for a workstation that never comes.
func TestRunNobody(t *testing.T) {
	w := newWorld(t, 1)
	w.tasks[0].spec.Patience = time.Second
	got := w.await(w.start(t.Context(), 0))
	if !errors.Is(got.err, errNobody) || !strings.Contains(host.Hint(got.err), "images push again") {
		t.Errorf("got %v, %q", got.err, host.Hint(got.err))
	}
}
