package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// Peer is one node's part in the swarm. Its methods may be called from many
// goroutines.
type Peer struct {
	cfg      Config
	tune     tuning
	listener net.Listener
	client   *http.Client
	server   *http.Server
	throttle throttle
	stage    *stage
	buffers  buffers
	// adopting lets one parcel be taken in at a time.
	adopting sync.Mutex

	mu sync.Mutex
	// changed is closed and replaced whenever anything below changes.
	changed chan struct{}
	// began is when Run did; ended says that it has.
	began   time.Time
	ended   bool
	serving sync.WaitGroup

	// layout is nil until the parcel is there; encoded is the parcel's bytes,
	// looked says that what an earlier run kept was looked at.
	layout  *layout
	encoded []byte
	looked  bool
	// asked are the blobs that Want named, wanted the same as a set.
	asked  map[digest.Digest]bool
	wanted bitset
	// have are the pieces that are here, checked those of them that were checked
	// before they were given to others, local the blobs that Config.Local has,
	// verified those whose own digest was checked.
	have, checked   bitset
	local, verified map[int]bool
	complete        bool
	// failed is why nothing is fetched any more.
	failed error

	others  []*other
	flights map[int][]*flight
	running int
	// typical is how long a piece took of late.
	typical time.Duration

	feeds     int
	feedAsked map[int]bool
	// progress is when this peer or another one got a piece last.
	progress time.Time
	// sending counts for each piece to how many it is being sent since when.
	sending map[int][]time.Time
	counts  counts
	// stuck is for how long there was something that nobody has and no feed, seen
	// when that was looked at last, and lacked how much it was then.
	stuck  time.Duration
	seen   time.Time
	lacked int64
}

// counts are in bytes.
type counts struct {
	fromFeed, fromPeers, foundLocally, foundStaged, sent int64
	refused                                              int
}

// NewPeer listens and takes the staging directory. Run is to be called
// afterwards: it gives both back.
func NewPeer(cfg Config) (*Peer, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("blob peer: %w", err)
	}
	config, err := cfg.Credentials.TLS()
	if err != nil {
		return nil, err
	}
	p := &Peer{cfg: cfg, tune: *cfg.tune, changed: make(chan struct{}), asked: map[digest.Digest]bool{},
		local: map[int]bool{}, verified: map[int]bool{}, flights: map[int][]*flight{}, feedAsked: map[int]bool{},
		sending: map[int][]time.Time{}, throttle: newThrottle(cfg.MaxRate), client: newClient(config)}
	for _, addr := range cfg.Peers {
		p.others = append(p.others, &other{addr: addr, busy: map[int]time.Time{}})
	}
	p.server = p.newServer(config)
	if p.stage, err = openStage(cfg.Dir); err != nil {
		return nil, err
	}
	if p.listener = cfg.Listener; p.listener == nil {
		if p.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
			return nil, errors.Join(fmt.Errorf("blob peer: %w; another port can be chosen", err), p.stage.close())
		}
	}
	return p, nil
}

// Addr is where it listens.
func (p *Peer) Addr() net.Addr { return p.listener.Addr() }

// Run listens, fetches what is wanted and serves what is there, until the
// context ends, which is no error.
func (p *Peer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	p.began = time.Now()
	p.progress = p.began
	p.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.listen(ctx) })
	group.Go(func() error { p.findParcel(ctx); return nil })
	group.Go(func() error { p.fetchLoop(ctx); return nil })
	group.Go(func() error { p.followAll(ctx); return nil })
	if p.cfg.Open {
		group.Go(func() error { p.beg(ctx); return nil })
	}
	err := group.Wait()
	p.mu.Lock()
	p.ended = true
	p.wake()
	p.mu.Unlock()
	p.serving.Wait()
	p.client.CloseIdleConnections()
	return errors.Join(err, p.stage.close())
}

// Parcel waits for the parcel.
func (p *Peer) Parcel(ctx context.Context) (*Parcel, error) {
	var parcel *Parcel
	err := p.await(ctx, func() (bool, error) {
		if p.layout == nil {
			return false, p.failed
		}
		parcel = p.layout.parcel
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the parcel: %w", err)
	}
	return parcel, nil
}

// Want says that this node needs blobs; they are fetched in the background.
// Those that are not in the parcel are passed over.
func (p *Peer) Want(blobs ...digest.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := false
	for _, d := range blobs {
		if !p.asked[d] {
			p.asked[d], fresh = true, true
		}
	}
	if fresh {
		p.applyWants()
	}
}

// applyWants makes a set of what was asked for, and makes sure that it fits on
// the disk. The lock is held.
func (p *Peer) applyWants() {
	if p.layout == nil {
		return
	}
	for d := range p.asked {
		if n, ok := p.layout.byDigest[d]; ok && p.failed == nil {
			p.wanted.set(n)
		}
	}
	all, had := p.layout.bytes(p.wanted, p.have.has)
	if err := p.stage.room(all - had); err != nil {
		p.fail(err)
	}
	p.wake()
}

// Complete says that this node has all it needs. The others are told; they go
// on being served.
func (p *Peer) Complete() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.complete = true
	p.wake()
}

// WaitAll returns nil when every other peer is complete, or was reached once and
// has been unreachable for Config.GoneAfter, or was not reached within
// Config.NeverAfter, or has had all that it wants for Config.HoldsAfter; and, if this
// peer is complete, the others and a workstation
// that feeds it know it.
func (p *Peer) WaitAll(ctx context.Context) error {
	err := p.awaitTicking(ctx, func() (bool, error) { return p.othersDone(time.Now()), nil })
	if err != nil {
		return fmt.Errorf("wait for the other peers: %w", err)
	}
	lingering, cancel := context.WithTimeout(ctx, p.tune.linger)
	defer cancel()
	err = p.awaitTicking(lingering, func() (bool, error) { return !p.complete || (p.othersTold() && p.feeds == 0), nil })
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		// Those who were not told, a workstation among them, see that this peer is
		// gone.
		return nil
	}
	return err
}

// othersTold says that each reachable peer knows that this one is complete. The
// lock is held.
func (p *Peer) othersTold() bool {
	for _, o := range p.others {
		if o.reachable && !o.told {
			return false
		}
	}
	return true
}

// await waits until a condition holds. It is looked at with the lock held,
// whenever something has changed.
func (p *Peer) await(ctx context.Context, condition func() (bool, error)) error {
	return p.awaitEvery(ctx, nil, condition)
}

// awaitTicking also looks as time passes.
func (p *Peer) awaitTicking(ctx context.Context, condition func() (bool, error)) error {
	ticker := time.NewTicker(p.tune.tick)
	defer ticker.Stop()
	return p.awaitEvery(ctx, ticker.C, condition)
}

func (p *Peer) awaitEvery(ctx context.Context, tick <-chan time.Time, condition func() (bool, error)) error {
	for {
		p.mu.Lock()
		changed, ended := p.changed, p.ended
		ok, err := condition()
		p.mu.Unlock()
		if ok || err != nil {
			return err
		}
		if ended {
			return errEnded
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-tick:
		}
	}
}

// errEnded is what waits return when Run has.
var errEnded = errors.New("the peer has ended")

// wake tells all who wait that something has changed. The lock is held.
func (p *Peer) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

var _ bundle.Upstream = (*Peer)(nil)
