package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// Why a piece did not come although its source is well.
var (
	errBusy   = errors.New("it is sending this piece to others")
	errAbsent = errors.New("it does not have this piece")
	errStall  = errors.New("nothing came for too long")
)

// flight is one request for one piece.
type flight struct {
	piece  int
	source int
	began  time.Time
	// last is when a byte came last, in Unix nanoseconds.
	last   atomic.Int64
	cancel context.CancelCauseFunc
	// late says that it stalled or became slow, lost that another one was first.
	late, lost bool
}

// fetchLoop keeps requests under way until the context ends, and then waits for
// them.
func (p *Peer) fetchLoop(ctx context.Context) {
	ticker := time.NewTicker(p.tune.tick)
	defer ticker.Stop()
	for {
		p.mu.Lock()
		changed := p.changed
		p.judge(time.Now())
		p.start(ctx, time.Now())
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			// Their contexts have ended too.
			p.mu.Lock()
			for p.running > 0 {
				changed = p.changed
				p.mu.Unlock()
				<-changed
				p.mu.Lock()
			}
			p.mu.Unlock()
			return
		case <-changed:
		case <-ticker.C:
		}
	}
}

// judge finds requests that have stalled or are slow. The lock is held.
func (p *Peer) judge(now time.Time) {
	p.noteStuck(now)
	patience := p.tune.slowAfter
	if p.typical > 0 {
		patience = max(p.tune.minSlow, 4*p.typical)
	}
	for _, flights := range p.flights {
		for _, f := range flights {
			silent := now.Sub(time.Unix(0, f.last.Load()))
			if silent > p.tune.giveUp {
				f.cancel(errStall)
			}
			if !f.late && (silent > p.tune.stallAfter || now.Sub(f.began) > patience) {
				f.late = true
				p.others[f.source].slow = true
			}
		}
	}
}

// start begins as many requests as may be under way. The lock is held.
func (p *Peer) start(ctx context.Context, now time.Time) {
	if p.layout == nil || p.failed != nil || ctx.Err() != nil {
		return
	}
	active := 0
	for _, flights := range p.flights {
		for _, f := range flights {
			if !f.late {
				active++
			}
		}
	}
	if active >= p.tune.active || p.running >= p.tune.total {
		return
	}
	needs, sources := p.needs(), p.sources(now)
	for active < p.tune.active && p.running < p.tune.total {
		n, from, ok := pick(needs, sources, rand.IntN)
		if !ok {
			return
		}
		p.launch(ctx, n.piece, from, now)
		active++
		sources[from].free--
		sources[from].load++
		for i := range needs {
			if needs[i].piece == n.piece {
				needs = append(needs[:i], needs[i+1:]...)
				break
			}
		}
	}
}

// needs lists what is wanted and missing, unless it is on its way well. The lock
// is held.
func (p *Peer) needs() (list []need) {
	l := p.layout
	for blob := range l.parcel.Blobs {
		if !p.wanted.has(blob) {
			continue
		}
	pieces:
		for piece := l.first[blob]; piece < l.first[blob+1]; piece++ {
			if p.have.has(piece) || p.feedAsked[piece] {
				continue
			}
			n := need{piece: piece}
			for _, f := range p.flights[piece] {
				if !f.late {
					continue pieces
				}
				n.asked = append(n.asked, f.source)
			}
			list = append(list, n)
		}
	}
	return list
}

// sources lists the other peers as pick wants them. The lock is held.
func (p *Peer) sources(now time.Time) []source {
	list := make([]source, len(p.others))
	for i, o := range p.others {
		if !o.reachable || o.dropped != "" {
			continue
		}
		s := source{has: o.have, slow: o.slow, load: o.running, busy: map[int]bool{}}
		if !now.Before(o.retryAt) {
			s.free = p.tune.perSource - o.running
		}
		if o.slow {
			s.free = min(s.free, 1-o.running)
		}
		for piece, until := range o.busy {
			if now.Before(until) {
				s.busy[piece] = true
			} else {
				delete(o.busy, piece)
			}
		}
		list[i] = s
	}
	return list
}

// launch sends one request. The lock is held.
func (p *Peer) launch(ctx context.Context, piece, from int, now time.Time) {
	ctx, cancel := context.WithCancelCause(ctx)
	f := &flight{piece: piece, source: from, began: now, cancel: cancel}
	f.last.Store(now.UnixNano())
	p.flights[piece] = append(p.flights[piece], f)
	p.running++
	o := p.others[from]
	o.running++
	layout := p.layout
	go func() {
		defer cancel(nil)
		buffer := p.buffers.get(int(layout.parcel.PieceSize))
		data := buffer[:layout.size(piece)]
		err := p.get(ctx, o, layout, f, data)
		if err == nil && !layout.right(piece, data) {
			err = errWrong
		}
		if err == nil {
			err = p.keep(layout, piece, data)
		}
		p.buffers.put(buffer)
		p.landed(f, err, time.Now())
	}()
}

// get asks a peer for one piece.
func (p *Peer) get(ctx context.Context, o *other, l *layout, f *flight, data []byte) error {
	blob, offset, _ := l.at(f.piece)
	res, err := p.ask(ctx, o, piecePath(blob, offset/l.parcel.PieceSize))
	if err != nil {
		return err
	}
	// What is left unread ends with the connection.
	defer func() { _ = res.Body.Close() }()
	if res.ContentLength != int64(len(data)) {
		return fmt.Errorf("%d bytes were announced instead of %d: %w", res.ContentLength, len(data), errWrong)
	}
	for n := 0; n < len(data); {
		m, err := res.Body.Read(data[n:min(len(data), n+chunk)])
		if n += m; m > 0 {
			f.last.Store(time.Now().UnixNano())
		}
		if err != nil && n < len(data) {
			return fmt.Errorf("after %d of %d bytes: %w", n, len(data), err)
		}
	}
	// Reading to the end lets the connection be used again.
	_, _ = io.CopyN(io.Discard, res.Body, 1)
	return nil
}

// piecePath is where a piece is served.
func piecePath(b ParcelBlob, n int64) string { return fmt.Sprintf("/piece/%s/%d", b.Digest, n) }

// ask sends a GET to a peer. Its answer is OK or an error.
func (p *Peer) ask(ctx context.Context, o *other, path string) (*http.Response, error) {
	return p.request(ctx, o, http.MethodGet, path, nil)
}

// request sends something to a peer. Its answer is OK or an error.
func (p *Peer) request(ctx context.Context, o *other, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+o.addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	switch res.StatusCode {
	case http.StatusOK:
		return res, nil
	case http.StatusServiceUnavailable:
		err = errBusy
	case http.StatusNotFound:
		err = errAbsent
	default:
		err = fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	// So that the connection can be used again.
	_, _ = io.CopyN(io.Discard, res.Body, chunk)
	return nil, errors.Join(err, res.Body.Close())
}
