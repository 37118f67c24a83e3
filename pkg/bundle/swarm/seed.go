package swarm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// errGaveUp is wrapped when the workstation has said why it ends a feed, errUnsent
// when nothing can be sent to it.
var (
	errGaveUp = errors.New("the workstation gave up")
	errUnsent = errors.New("the workstation can't be reached")
)

// errProtocol is wrapped when the other end of a feed says what can't be.
var errProtocol = errors.New("the feed's protocol was not kept")

// maxAsks bounds how many pieces are asked of a feed at once, however small.
const maxAsks = 1024

// statusEvery is how often the workstation is told about the swarm.
const statusEvery = time.Second

// ServeFeed is the seed's end of a feed: it asks the workstation at the other
// end of rw, where Feed runs, for the parcel and for each piece that any
// reachable peer wants and none has, until the swarm is done (it returns nil),
// the stream or the context ends, or the feed fails. rw is closed. A piece that
// comes wrong is asked for again a few times.
func (p *Peer) ServeFeed(ctx context.Context, rw io.ReadWriteCloser) error {
	if !p.enter() {
		return errors.Join(errEnded, rw.Close())
	}
	defer p.serving.Done()
	s := &seed{p: p, frames: newFrames(rw), ended: make(chan struct{}), wrong: map[uint32]int{}}
	p.mu.Lock()
	p.feeds++
	p.wake()
	p.mu.Unlock()
	p.cfg.Log("a feed is attached to this peer")
	err := s.run(ctx)
	p.mu.Lock()
	p.feeds--
	for _, n := range s.asked {
		delete(p.feedAsked, int(n))
	}
	p.wake()
	p.mu.Unlock()
	if err != nil {
		p.cfg.Log(fmt.Sprintf("the feed of this peer has ended: %v", err))
		return fmt.Errorf("feed: %w", err)
	}
	p.cfg.Log("the feed of this peer is done")
	return nil
}

// seed is one feed's session at the seed.
type seed struct {
	p      *Peer
	frames *frames
	// ended is closed when reading has; failure says why.
	ended   chan struct{}
	failure error

	// Under the peer's lock: what was asked for and has not come, in order, and
	// how many bytes that is.
	asked       []uint32
	outstanding int64
	// impatient says that the swarm was held up by those who have something and
	// do not get on with giving it.
	impatient bool
	// Of the reader alone: what has come of the first of asked, and how often
	// each came wrong.
	data  []byte
	wrong map[uint32]int
}

func (s *seed) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		// Reading ends.
		_ = s.frames.rw.Close()
	})
	defer stop()
	go func() {
		s.failure = s.read(ctx)
		close(s.ended)
	}()
	err := s.write(ctx)
	if err == nil {
		err = s.frames.write(frameBye, nil)
	} else if ctx.Err() == nil {
		err = s.cause(ctx, err)
		s.explain(err)
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	// The result of closing says nothing about what was sent.
	_ = s.frames.rw.Close()
	<-s.ended
	return err
}

// hearWithin is how long it is waited for what the other end of a stream that is
// broken has said before.
const hearWithin = time.Second

// cause prefers what the workstation has said over the news, which comes first or
// second by chance, that nothing can be written to it any more.
func (s *seed) cause(ctx context.Context, err error) error {
	if errors.Is(err, errUnsent) {
		late := time.NewTimer(hearWithin)
		defer late.Stop()
		select {
		case <-s.ended:
			if errors.Is(s.failure, errGaveUp) || errors.Is(s.failure, errProtocol) {
				return s.failure
			}
		case <-ctx.Done():
		case <-late.C:
		}
	}
	return err
}

// explain tells the workstation why this end gives up.
func (s *seed) explain(err error) {
	select {
	case <-s.ended:
		if !errors.Is(err, errProtocol) && !errors.Is(err, errWrong) && !errors.Is(err, syscall.ENOSPC) {
			return
		}
	default:
	}
	kind := byte(frameError)
	if errors.Is(err, syscall.ENOSPC) {
		kind = frameFull
	}
	// When it can't be told, the workstation still sees the end.
	_ = s.frames.writeText(kind, err.Error())
}

// write asks for pieces and tells the workstation about the swarm, until that is
// done, which is no error.
func (s *seed) write(ctx context.Context) error {
	want := s.p.cfg.Parcel
	if err := s.frames.writeJSON(frameHello, hello{Version: feedVersion, Parcel: want.Digest.String(), Size: want.Size}); err != nil {
		return fmt.Errorf("%w: %w", errUnsent, err)
	}
	ticker := time.NewTicker(s.p.tune.tick)
	defer ticker.Stop()
	var told time.Time
	for {
		now := time.Now()
		s.p.mu.Lock()
		changed, ended := s.p.changed, s.p.ended
		asks, err := s.next(now)
		var status FeedStatus
		due := now.Sub(told) >= statusEvery
		if due = due || s.done(now); due {
			status = s.p.feedStatus(now)
		}
		s.p.mu.Unlock()
		if ended {
			return errEnded
		}
		if err != nil {
			return err
		}
		for _, n := range asks {
			if err := s.frames.write(frameAsk, binary.BigEndian.AppendUint32(nil, n)); err != nil {
				return fmt.Errorf("%w: %w", errUnsent, err)
			}
		}
		if due {
			if told = now; len(status.Peers) > maxStatusPeers {
				status.Peers = status.Peers[:maxStatusPeers]
			}
			if err := s.frames.writeJSON(frameStatus, status); err != nil {
				return fmt.Errorf("%w: %w", errUnsent, err)
			}
			if status.Done {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ended:
			return s.failure
		case <-changed:
		case <-ticker.C:
		}
	}
}

// maxStatusPeers keeps a status within its frame.
const maxStatusPeers = 1000

// done says that every peer has what it needs. The lock is held.
func (s *seed) done(now time.Time) bool {
	return (s.p.complete || s.p.failed != nil) && s.p.othersDone(now)
}

// next chooses what to ask for now: in order, what any reachable peer wants and
// none has. The lock is held.
func (s *seed) next(now time.Time) ([]uint32, error) {
	p := s.p
	if p.failed != nil && !s.done(now) {
		return nil, p.failed
	}
	if p.layout == nil {
		if len(s.asked) > 0 || !p.looked {
			return nil, nil
		}
		s.asked, s.outstanding = append(s.asked, askParcel), p.cfg.Parcel.Size
		return []uint32{askParcel}, nil
	}
	if len(s.asked) >= maxAsks/2 || s.outstanding > p.tune.window/2 || !p.gathered(now) {
		return nil, nil
	}
	if s.impatient = s.impatient || now.Sub(p.progress) > p.tune.heldUp; s.impatient && len(s.asked) > 0 {
		// One window at a time.
		return nil, nil
	}
	_, missing := p.wantedAndMissing(s.impatient)
	list, room := s.choose(missing)
	return list, p.stage.room(room)
}

// choose takes from the pieces that are missing as many as may be asked for now,
// and tells how many bytes all of them have. The lock is held.
func (s *seed) choose(missing []int) (list []uint32, room int64) {
	p := s.p
	for _, piece := range missing {
		if p.feedAsked[piece] || (len(p.flights[piece]) > 0 && !s.impatient) {
			continue
		}
		size := p.layout.size(piece)
		room += size
		if len(s.asked) < maxAsks && s.outstanding+size <= p.tune.window {
			p.feedAsked[piece] = true
			s.asked, s.outstanding = append(s.asked, uint32(piece)), s.outstanding+size
			list = append(list, uint32(piece))
		}
	}
	return list, room
}

// gathered says that the peers had time to tell what they have, so that nothing
// is asked of the workstation that is there already. The lock is held.
func (p *Peer) gathered(now time.Time) bool {
	for _, o := range p.others {
		if o.reachable && !o.snapshot && now.Sub(o.reached) < p.tune.snapshot {
			return false
		}
		if !o.seen && now.Sub(p.began) < p.tune.gather {
			return false
		}
	}
	return true
}
