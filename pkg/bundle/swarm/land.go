package swarm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// keep writes a piece that is right to the disk.
func (p *Peer) keep(l *layout, piece int, data []byte) error {
	blob, offset, _ := l.at(piece)
	p.mu.Lock()
	had, failed := p.have.has(piece), p.failed
	p.mu.Unlock()
	if had || failed != nil {
		return failed
	}
	err := p.stage.write(blob.Digest, offset, data)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.fail(fmt.Errorf("keep blob %s: %w", blob.Digest, err))
		return p.failed
	}
	if p.failed != nil {
		return errors.Join(p.failed, p.stage.remove(blob.Digest))
	}
	p.have.set(piece)
	p.progress = time.Now()
	p.wake()
	return nil
}

// landed notes how a request ended.
func (p *Peer) landed(f *flight, err error, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.others[f.source]
	o.running--
	p.running--
	p.removeFlight(f)
	size := p.layout.size(f.piece)
	switch {
	case err == nil:
		p.counts.fromPeers += size
		o.failures = 0
		p.arrived(f, o, size, now.Sub(f.began))
	case f.lost || p.failed != nil:
	case errors.Is(err, errWrong):
		p.counts.refused++
		p.drop(o, fmt.Sprintf("it sent a wrong piece: %v", err))
	case errors.Is(err, errBusy):
		o.busy[f.piece] = now.Add(p.tune.tick/2 + rand.N(p.tune.tick))
	case errors.Is(err, errAbsent):
		o.have.clear(f.piece)
	default:
		o.failures++
		o.retryAt = now.Add(backoff(p.tune.backoff, p.tune.maxBackoff, o.failures))
		o.lastError = err.Error()
	}
	p.wake()
}

// arrived ends the other requests for a piece and compares its source's speed
// with that of the others. The lock is held.
func (p *Peer) arrived(f *flight, o *other, size int64, took time.Duration) {
	for _, behind := range p.flights[f.piece] {
		behind.lost = true
		behind.cancel(errors.New("another source was first"))
	}
	if 2*size < p.layout.parcel.PieceSize {
		// It says little about a source's speed.
		return
	}
	o.slow = p.typical > 0 && took > max(p.tune.minSlow, 4*p.typical)
	if o.slow {
		return
	}
	if p.typical == 0 {
		p.typical = took
	}
	p.typical += (took - p.typical) / 8
}

func (p *Peer) removeFlight(f *flight) {
	list := p.flights[f.piece]
	for i := range list {
		if list[i] == f {
			p.flights[f.piece] = append(list[:i], list[i+1:]...)
			break
		}
	}
	if len(p.flights[f.piece]) == 0 {
		delete(p.flights, f.piece)
	}
}

// drop lets go of a source for good. The lock is held.
func (p *Peer) drop(o *other, why string) {
	if o.dropped == "" {
		o.dropped = why
		p.cfg.Log(fmt.Sprintf("nothing more is fetched from the peer %s: %s", o.addr, why))
	}
}

// fail ends all fetching: there is nowhere to put what comes. What is complete
// stays, to be served; half-written files are removed. The lock is held.
func (p *Peer) fail(why error) {
	if p.failed != nil {
		return
	}
	p.failed = why
	p.cfg.Log(fmt.Sprintf("this peer has given up fetching: %v", why))
	for _, flights := range p.flights {
		for _, f := range flights {
			f.cancel(why)
		}
	}
	if p.layout != nil {
		if errors.Is(why, syscall.ENOSPC) {
			p.removeHalves()
		}
		p.wanted = newBitset(len(p.layout.parcel.Blobs))
	}
	p.wake()
}

// removeHalves removes the files of blobs that are not complete. The lock is
// held.
func (p *Peer) removeHalves() {
	for blob, b := range p.layout.parcel.Blobs {
		if p.local[blob] || p.layout.whole(blob, p.have) {
			continue
		}
		if err := p.stage.remove(b.Digest); err != nil {
			p.cfg.Log(err.Error())
		}
		for n := p.layout.first[blob]; n < p.layout.first[blob+1]; n++ {
			p.have.clear(n)
		}
	}
}

// backoff is a pause that doubles with each failure, with some chance in it.
func backoff(first, most time.Duration, failures int) time.Duration {
	pause := first << min(failures-1, 16)
	if pause > most || pause <= 0 {
		pause = most
	}
	return pause/2 + rand.N(pause/2+1)
}
