package swarm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// A hosted peer is a process on a host whose standard input and output a
// workstation holds. They speak in lines of JSON: the workstation says where to
// listen, is told the address, and says what to do; then it says from time to time
// that it lives. When it says feed, all that follows in both directions is a feed.
const (
	// maxLine bounds one line, in bytes.
	maxLine = 1 << 20
	// lookEvery is how often a peer looks whether it gets on, stuckAfter when it
	// asks to be fed itself.
	lookEvery  = time.Second
	stuckAfter = 3 * time.Second
	// inUseWithin bounds the wait for the process of an interrupted run to end; it
	// notices within feedDead.
	inUseWithin = 2 * feedDead
)

// order is a line from the workstation.
type order struct {
	// Listen is address:port; another port is taken when that one is not free.
	Listen string      `json:"listen,omitempty"`
	Start  *HostedSpec `json:"start,omitempty"`
	Feed   bool        `json:"feed,omitempty"`
}

// HostedSpec is what a hosted peer needs. It holds a secret: it travels on
// standard input, never in argv.
type HostedSpec struct {
	Credentials bundle.Peers `json:"credentials"`
	Parcel      bundle.Blob  `json:"parcel"`
	// Peers are those that have started by now; the others join.
	Peers []string `json:"peers,omitempty"`
}

// news is a line from the peer.
type news struct {
	Listening string `json:"listening,omitempty"`
	Error     string `json:"error,omitempty"`
	// Stuck says that it lacks what nobody has, and nobody that it can reach is fed.
	Stuck bool `json:"stuck,omitempty"`
	// Feeding is the last line: frames follow.
	Feeding bool `json:"feeding,omitempty"`
}

// RunHosted is the host's process; dir is its staging directory. It ends, without an error, when its input does
// or the context. A workstation that says nothing for a minute is gone too.
func RunHosted(ctx context.Context, stdin io.Reader, stdout io.Writer, dir string, log func(message string)) error {
	// Standard input can't be interrupted, a pipe can.
	in, pump := io.Pipe()
	go func() {
		_, err := io.Copy(pump, stdin)
		_ = pump.CloseWithError(err) // With nil it is the end.
	}()
	h := &hosted{in: in, lines: bufio.NewReaderSize(in, 64<<10), out: stdout}
	defer func() { _ = in.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = in.Close() })
	defer stop()
	p, err := h.begin(ctx, dir, log)
	if err != nil {
		return errors.Join(err, h.say(news{Error: err.Error()}))
	}
	return h.run(ctx, p)
}

// hosted is the host's end of a session.
type hosted struct {
	in    *io.PipeReader
	lines *bufio.Reader

	// feeding says that no more lines may be written.
	mu      sync.Mutex
	out     io.Writer
	feeding bool
}

func (h *hosted) say(n news) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.feeding {
		return nil
	}
	h.feeding = n.Feeding
	return json.NewEncoder(h.out).Encode(n)
}

// begin listens, tells where, and makes the peer that it is told to.
func (h *hosted) begin(ctx context.Context, dir string, log func(string)) (*Peer, error) {
	where, err := h.next()
	if err != nil {
		return nil, err
	}
	l, err := listenNear(ctx, where.Listen)
	if err != nil {
		return nil, fmt.Errorf("blob peer: %w", err)
	}
	if err := h.say(news{Listening: l.Addr().String()}); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	for {
		what, err := h.next()
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		if what.Start == nil {
			continue // It lives.
		}
		s := what.Start
		p, err := newPeerWithin(ctx, Config{Listener: l, Self: l.Addr().String(), Peers: s.Peers, Open: true,
			Credentials: s.Credentials, Parcel: s.Parcel, Dir: dir, Log: log}, inUseWithin)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		return p, nil
	}
}

// listenNear listens on address:port, or another port when that one is taken.
func listenNear(ctx context.Context, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
}

// run runs the peer for as long as the session is held.
func (h *hosted) run(ctx context.Context, p *Peer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	held := make(chan error, 1)
	go func() {
		held <- h.hold(ctx, p)
		cancel()
	}()
	go h.watch(ctx, p)
	err := p.Run(ctx)
	cancel()
	// Its reading ends with the context.
	_ = h.in.Close()
	return errors.Join(err, <-held)
}

// hold reads until the end, or until the rest is a feed, and then serves that.
func (h *hosted) hold(ctx context.Context, p *Peer) error {
	for {
		o, err := h.next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
			return nil
		}
		if err != nil {
			return err
		}
		if !o.Feed {
			continue // It lives.
		}
		if err := h.say(news{Feeding: true}); err != nil {
			return err
		}
		err = p.ServeFeed(ctx, &feedStream{Reader: h.lines, Writer: h.out, in: h.in})
		if ctx.Err() != nil || errors.Is(err, ErrFeedEnded) {
			return nil
		}
		return err
	}
}

// next reads one line; at the end it is io.EOF.
func (h *hosted) next() (o order, err error) {
	dead := time.AfterFunc(feedDead, func() {
		// The read ends.
		_ = h.in.CloseWithError(fmt.Errorf("the workstation has said nothing for %s", feedDead))
	})
	defer dead.Stop()
	return o, readLine(h.lines, &o)
}

// watch asks to be fed while this peer does not get on without.
func (h *hosted) watch(ctx context.Context, p *Peer) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if p.Status().Stuck < stuckAfter {
			continue
		}
		if h.say(news{Stuck: true}) != nil {
			return // The reader notices that the session has ended.
		}
	}
}

// feedStream is what is left of a session once it has become a feed.
type feedStream struct {
	io.Reader
	io.Writer
	in io.Closer
}

// Close ends both directions.
func (f *feedStream) Close() error {
	err := f.in.Close()
	if c, ok := f.Writer.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}

// readLine reads one line of JSON of bounded length. What was read ends up in no
// error: it may be a secret.
func readLine(r *bufio.Reader, into any) error {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if len(line) > maxLine {
			return fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
	}
	if json.Unmarshal(line, into) != nil {
		return errors.New("a line is not what was expected")
	}
	return nil
}
