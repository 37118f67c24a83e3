package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// BlobPort is the TCP port on which hosts give each other what is in the bundle
// while they are prepared; another one is taken when it is not free.
const BlobPort = 10270

// feedSettles is how long a feed has until a host that can't get on without one
// of its own is given that.
const feedSettles = 10 * time.Second

// exitWithin is how long an agent whose input has ended may take to end.
const exitWithin = 5 * time.Second

// blobs brings the bundle to the hosts: while steps need blobs, each host that has
// such a step runs a peer of one swarm, and one of them, the first, is fed. When
// that one goes away, or is of no use to another one, the other is fed.
type blobs struct {
	hosts  Hosts
	bundle bundle.Upstream
	// all are the names and addresses for the certificate.
	all []string
	// needy are the hosts that have steps that need blobs, the one to be fed first.
	needy []v1alpha1.Host
	// extra and images are all that these steps may need.
	extra  []bundle.Blob
	images []bundle.Image

	mu sync.Mutex
	// left are the steps that need blobs and have not ended.
	left  int
	begun bool
	stop  func()
	// running ends when all peers have.
	running sync.WaitGroup
	err     error
	peers   map[string]*hostPeer
	// started are the addresses of the peers that have.
	started []string
	// fed is when a host was last chosen to be fed; it has settles to help others.
	fed     time.Time
	settles time.Duration

	credentials bundle.Peers
	// parcel is there, or parcelErr, once cut is closed.
	cut       chan struct{}
	parcel    *swarm.Parcel
	parcelErr error
}

// hostPeer is the peer of one host. ready is closed when source or err is known.
type hostPeer struct {
	ready  chan struct{}
	source swarm.Source
	// err, under the lock, is why it has ended before its time.
	err error
}

// newBlobs finds out what a plan's steps need.
func newBlobs(cfg Config, source string, b Bundle, steps []plan.Step) *blobs {
	out := &blobs{hosts: cfg.Hosts, peers: map[string]*hostPeer{}, cut: make(chan struct{}), settles: feedSettles}
	if b != nil {
		out.bundle = b
	}
	var contents bundle.Contents
	for _, s := range steps {
		switch spec := s.Spec.(type) {
		case prepare.Spec:
			contents.Binaries = append(contents.Binaries, spec.Contents.Binaries...)
		case prepare.StageSpec:
			contents.Binaries = append(contents.Binaries, spec.Binaries...)
		case prepare.ImagesSpec:
			for _, i := range spec.Images {
				if !hasImage(out.images, i.Ref) {
					out.images = append(out.images, i)
				}
			}
		default:
			continue
		}
		out.left++
		out.peers[s.Host] = &hostPeer{ready: make(chan struct{})}
	}
	out.extra = contents.Blobs()
	for _, h := range cfg.Cluster.Spec.Hosts {
		out.all = append(out.all, h.Address, h.Name)
		switch {
		case out.peers[h.Name] == nil:
		case h.Name == source:
			out.needy = append([]v1alpha1.Host{h}, out.needy...)
		default:
			out.needy = append(out.needy, h)
		}
	}
	return out
}

func hasImage(list []bundle.Image, ref string) bool {
	for _, i := range list {
		if i.Ref == ref {
			return true
		}
	}
	return false
}

// open returns where a host asks for blobs; done must be called afterwards.
func (b *blobs) open(ctx context.Context, host string) (swarm.Source, error) {
	b.mu.Lock()
	if !b.begun {
		b.begun = true
		// The step that began it may end before the others.
		b.err = b.begin(context.WithoutCancel(ctx))
	}
	p, err := b.peers[host], b.err
	b.mu.Unlock()
	if err != nil {
		return swarm.Source{}, fmt.Errorf("bring the bundle to the hosts: %w", err)
	}
	select {
	case <-p.ready:
	case <-ctx.Done():
		return swarm.Source{}, context.Cause(ctx)
	}
	if p.source.Addr == "" {
		return swarm.Source{}, b.why(host)
	}
	return p.source, nil
}

// why is what ended a host's peer before its time; nil when nothing did.
func (b *blobs) why(host string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.peers[host]; p != nil && p.err != nil {
		return fmt.Errorf("bring the bundle to %s: %w", host, p.err)
	}
	return nil
}

// done is the end of a step that needed blobs, the last of which ends the peers.
func (b *blobs) done() {
	b.mu.Lock()
	b.left--
	last := b.left == 0
	b.mu.Unlock()
	if last {
		b.close()
	}
}

// close ends the peers, if they run, and waits for them.
func (b *blobs) close() {
	b.mu.Lock()
	if b.stop != nil {
		b.stop()
	}
	b.mu.Unlock()
	b.running.Wait()
}

// begin starts a peer on each host, and meanwhile finds out what is in the pieces
// of the bundle. The lock is held.
func (b *blobs) begin(ctx context.Context) (err error) {
	if b.bundle == nil {
		return errors.New("there is no bundle")
	}
	if b.credentials, err = bundle.NewPeers(b.all); err != nil {
		return err
	}
	ctx, b.stop = context.WithCancel(ctx)
	b.running.Go(func() {
		defer close(b.cut)
		b.parcel, b.parcelErr = swarm.NewParcelWith(ctx, b.extra, b.images, b.bundle)
	})
	b.fed = time.Now()
	for i, h := range b.needy {
		b.running.Go(func() {
			err := b.run(ctx, h, i == 0)
			if err == nil {
				err = errPeerEnded
			}
			b.ends(h.Name, err)
		})
	}
	return nil
}

// ends notes why a host's peer ends.
func (b *blobs) ends(host string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.peers[host]
	p.err = err
	select {
	case <-p.ready:
	default:
		close(p.ready)
	}
}

// errPeerEnded is when nothing tells why.
var errPeerEnded = errors.New("the agent on the host has ended")

// run holds one host's peer until it ends.
func (b *blobs) run(ctx context.Context, h v1alpha1.Host, first bool) (err error) {
	// Without its input the agent ends as well.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stdin, stdout, exited, err := b.hosts.Pipe(ctx, h.Name, []string{"agent", "blobs"})
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			cancel()
		} else {
			b.ends(h.Name, err)
		}
		// An agent that was not ended from here may say why it has.
		_ = stdin.Close()
		late := time.AfterFunc(exitWithin, cancel)
		defer late.Stop()
		if failed := exited(); !errors.Is(failed, context.Canceled) {
			err = errors.Join(err, failed)
		}
	}()
	held, err := swarm.Hold(stdin, stdout, net.JoinHostPort(h.Address, strconv.Itoa(BlobPort)))
	if err != nil {
		return err
	}
	p := b.peers[h.Name]
	p.source = swarm.Source{Addr: held.Addr(), Credentials: b.credentials}
	// What the step does first needs no blobs yet.
	close(p.ready)
	select {
	case <-b.cut:
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.parcelErr != nil {
		return b.parcelErr
	}
	if err := b.start(held, first); err != nil {
		return err
	}
	stuck := func() {
		if b.feedNow() {
			// What goes wrong ends the session.
			_ = held.Feed()
		}
	}
	return held.Run(ctx, stuck, func(rw io.ReadWriteCloser) error {
		return swarm.Feed(ctx, rw, b.parcel, b.bundle, swarm.FeedOptions{})
	})
}

// start tells a peer what to do, and of those that have started before. Those are
// joined by it.
func (b *blobs) start(held *swarm.Held, first bool) error {
	_, identity := b.parcel.Encode()
	b.mu.Lock()
	before := append([]string(nil), b.started...)
	b.started = append(b.started, held.Addr())
	b.mu.Unlock()
	err := held.Start(swarm.HostedSpec{Credentials: b.credentials, Parcel: identity, Peers: before})
	if err == nil && first {
		err = held.Feed()
	}
	return err
}

// feedNow decides whether a host that can't get on is fed itself. One that was
// chosen just now has its time to help the others.
func (b *blobs) feedNow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.fed) < b.settles {
		return false
	}
	b.fed = time.Now()
	return true
}
