package swarm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// maxHaveLine bounds one message of a peer: a set of maxPieces in base64.
const maxHaveLine = 1 << 18

// maxAvoids bounds how many peers one may avoid.
const maxAvoids = 1 << 12

// maxGot is how many new pieces are told one by one; more are told as a set.
const maxGot = 64

// have is one line of what a peer tells another. What it leaves out has not
// changed; an empty one only says that it lives.
type have struct {
	// Parcel says that it has the parcel, and gives it.
	Parcel bool `json:"parcel,omitempty"`
	// All are the pieces that it has, as a set; Got are those that came since.
	All []byte `json:"all,omitempty"`
	Got []int  `json:"got,omitempty"`
	// Wants are the blobs that it wants, as a set.
	Wants []byte `json:"wants,omitempty"`
	// Feed says whether a feed is attached to it.
	Feed *bool `json:"feed,omitempty"`
	// Complete says that it has all that it needs.
	Complete bool `json:"complete,omitempty"`
	// Avoids are the peers from which it fetches nothing any more: what only they
	// have is not there for it.
	Avoids []string `json:"avoids,omitempty"`
}

// other is another peer.
type other struct {
	addr string
	// seen says that it was reached once, reachable that the stream of what it
	// has is open; reached is when for the first time, lost since when not.
	seen, reachable bool
	reached, lost   time.Time
	// What it told: snapshot says that it told what it has.
	parcel, snapshot, feed, complete bool
	have, wants                      bitset
	avoids                           []string
	// told says that it knows that we are complete, hears how many streams of what
	// we have it listens to.
	told  bool
	hears int
	// begged are the wants that it was told although it does not listen.
	begged string
	// holds is since when it has all that it wants.
	holds time.Time
	// What was learnt by fetching from it.
	dropped, lastError string
	failures           int
	retryAt            time.Time
	slow               bool
	running            int
	busy               map[int]time.Time
}

// maxOthers bounds how many peers may join.
const maxOthers = 1 << 12

// followAll follows every other peer, those that join later as well.
func (p *Peer) followAll(ctx context.Context) {
	var following sync.WaitGroup
	defer following.Wait()
	for n := 0; ; {
		p.mu.Lock()
		changed, fresh := p.changed, p.others[n:]
		p.mu.Unlock()
		for _, o := range fresh {
			following.Go(func() { p.follow(ctx, o) })
		}
		n += len(fresh)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// join finds another peer by its address, or in an open swarm takes it in; nil
// when it is none of ours.
func (p *Peer) join(addr string) *other {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.others {
		if o.addr == addr {
			return o
		}
	}
	_, _, err := net.SplitHostPort(addr)
	if !p.cfg.Open || err != nil || addr == p.cfg.Self || len(p.others) >= maxOthers {
		return nil
	}
	o := &other{addr: addr, busy: map[int]time.Time{}}
	p.others = append(p.others, o)
	p.wake()
	return o
}

// hears notes that another peer began to listen to what we have, or ended.
func (p *Peer) hears(o *other, change int) {
	if o == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o.hears += change
	p.wake()
}

// follow learns what another peer has until the context ends.
func (p *Peer) follow(ctx context.Context, o *other) {
	failures := 0
	for {
		reached, err := p.listenTo(ctx, o)
		if ctx.Err() != nil {
			return
		}
		failures++
		if reached {
			failures = 1
		}
		p.mu.Lock()
		if o.reachable {
			o.reachable, o.lost, o.feed = false, time.Now(), false
		}
		o.lastError = err.Error()
		p.wake()
		p.mu.Unlock()
		timer := time.NewTimer(backoff(p.tune.backoff, min(p.tune.maxBackoff, 2*time.Second), failures))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// listenTo reads one stream of what another peer has, to its end.
func (p *Peer) listenTo(ctx context.Context, o *other) (reached bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	res, err := p.ask(ctx, o, "/have?from="+url.QueryEscape(p.cfg.Self))
	if err != nil {
		return false, err
	}
	// There is nothing left to be read.
	defer func() { _ = res.Body.Close() }()
	dead := time.AfterFunc(p.tune.dead, func() { cancel(errStall) })
	defer dead.Stop()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 4096), maxHaveLine)
	for lines.Scan() {
		dead.Reset(p.tune.dead)
		var m have
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return reached, fmt.Errorf("what it has is not understood: %w", err)
		}
		if err := p.learn(o, m, !reached); err != nil {
			return reached, err
		}
		reached = true
	}
	if cause := context.Cause(ctx); cause != nil {
		return reached, cause
	}
	if err := lines.Err(); err != nil {
		return reached, err
	}
	return reached, io.EOF
}

// learn takes one message in; first says that it is a stream's first.
func (p *Peer) learn(o *other, m have, first bool) error {
	if len(m.All) > maxPieces/8+1 || len(m.Wants) > maxBlobs/8+1 || len(m.Got) > maxGot || len(m.Avoids) > maxAvoids {
		return errors.New("what it has is more than can be")
	}
	for _, n := range m.Got {
		if n < 0 || n >= maxPieces {
			return fmt.Errorf("it has a piece %d, which can't be", n)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if first {
		if !o.seen {
			p.cfg.Log(fmt.Sprintf("the peer %s is there", o.addr))
			o.reached = time.Now()
		}
		o.seen, o.reachable = true, true
		o.failures, o.retryAt, o.lastError = 0, time.Time{}, ""
	}
	o.parcel = o.parcel || m.Parcel
	o.complete = o.complete || m.Complete
	if m.All != nil {
		o.have, o.snapshot = m.All, true
	}
	for _, n := range m.Got {
		o.have.set(n)
	}
	if len(m.Got) > 0 || m.All != nil {
		p.progress = time.Now()
	}
	if m.Wants != nil {
		o.wants = m.Wants
	}
	if m.Avoids != nil {
		o.avoids = m.Avoids
	}
	if m.Feed != nil {
		o.feed = *m.Feed
	}
	p.wake()
	return nil
}

// telling is what one listener was told so far.
type telling struct {
	have, wants    bitset
	parcel, feed   bool
	complete, once bool
	avoids         int
}

// serveHave tells another peer what is here, and goes on as that changes.
func (p *Peer) serveHave(w http.ResponseWriter, r *http.Request) {
	from := p.join(r.URL.Query().Get("from"))
	p.hears(from, 1)
	defer p.hears(from, -1)
	out := http.NewResponseController(w)
	var told telling
	alive := time.NewTicker(p.tune.alive)
	defer alive.Stop()
	for {
		p.mu.Lock()
		changed, ended := p.changed, p.ended
		m, news := p.news(&told)
		p.mu.Unlock()
		if ended {
			return
		}
		if news {
			if err := tell(w, out, m, p.tune.dead); err != nil {
				return
			}
			p.noteTold(from, m)
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-alive.C:
			if err := tell(w, out, have{}, p.tune.dead); err != nil {
				return
			}
		}
	}
}

// tell writes one line.
func tell(w io.Writer, out *http.ResponseController, m have, within time.Duration) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := out.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return err
	}
	return out.Flush()
}

// news is what a listener has not been told. The lock is held.
func (p *Peer) news(told *telling) (m have, news bool) {
	news, told.once = !told.once, true
	if feed := p.feeds > 0; feed != told.feed {
		m.Feed, told.feed, news = &feed, feed, true
	}
	if p.complete && !told.complete {
		m.Complete, told.complete, news = true, true, true
	}
	if avoids := p.avoids(); len(avoids) > told.avoids {
		m.Avoids, told.avoids, news = avoids, len(avoids), true
	}
	if p.layout == nil {
		return m, news
	}
	if !told.parcel {
		m.Parcel, told.parcel, news = true, true, true
	}
	got, lost := p.have.without(told.have), told.have.without(p.have)
	switch {
	case told.have == nil || len(lost) > 0 || len(got) > maxGot:
		told.have = p.have.clone()
		m.All, news = told.have, true
	case len(got) > 0:
		for _, n := range got {
			told.have.set(n)
		}
		m.Got, news = got, true
	}
	if told.wants == nil || string(told.wants) != string(p.wanted) {
		told.wants = p.wanted.clone()
		m.Wants, news = told.wants, true
	}
	return m, news
}

// avoids are the peers that were dropped. The lock is held.
func (p *Peer) avoids() (list []string) {
	for _, o := range p.others {
		if o.dropped != "" {
			list = append(list, o.addr)
		}
	}
	return list
}

// noteTold remembers who knows that this peer is complete.
func (p *Peer) noteTold(o *other, m have) {
	if o == nil || !m.Complete {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o.told = true
	p.wake()
}
