package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// parcelWithin is how long a peer may take to send the parcel.
const parcelWithin = 2 * time.Minute

// findParcel gets the parcel: what an earlier run kept, or from another peer.
// The feed brings it too; see ServeFeed.
func (p *Peer) findParcel(ctx context.Context) {
	data, err := p.stage.keptParcel(p.cfg.Parcel)
	if err == nil {
		err = p.adopt(ctx, data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
		p.cfg.Log(fmt.Sprintf("the parcel that an earlier run kept is of no use: %v", err))
	}
	p.mu.Lock()
	p.looked = true
	p.wake()
	p.mu.Unlock()
	for ctx.Err() == nil {
		var from *other
		err := p.awaitTicking(ctx, func() (bool, error) {
			if p.layout != nil {
				return true, nil
			}
			from = p.parcelSource(time.Now())
			return from != nil, nil
		})
		if err != nil || from == nil {
			return
		}
		data, err := p.getParcel(ctx, from)
		if err == nil {
			err = p.adopt(ctx, data)
		}
		if err != nil && ctx.Err() == nil {
			p.parcelFailed(from, err)
		}
	}
}

// parcelSource is a peer to ask for the parcel. The lock is held.
func (p *Peer) parcelSource(now time.Time) *other {
	for _, o := range p.others {
		if o.reachable && o.parcel && o.dropped == "" && !now.Before(o.retryAt) {
			return o
		}
	}
	return nil
}

func (p *Peer) getParcel(ctx context.Context, o *other) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, parcelWithin)
	defer cancel()
	res, err := p.ask(ctx, o, "/parcel")
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, p.cfg.Parcel.Size+1))
	return data, errors.Join(err, res.Body.Close())
}

func (p *Peer) parcelFailed(o *other, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(err, errWrong) {
		p.counts.refused++
		p.drop(o, fmt.Sprintf("it sent a wrong parcel: %v", err))
		return
	}
	o.failures++
	o.retryAt = time.Now().Add(backoff(p.tune.backoff, p.tune.maxBackoff, o.failures))
	o.lastError = err.Error()
}

// adopt takes the parcel, and finds out which of its blobs are on this node.
func (p *Peer) adopt(ctx context.Context, data []byte) error {
	p.adopting.Lock()
	defer p.adopting.Unlock()
	p.mu.Lock()
	there := p.layout != nil
	p.mu.Unlock()
	if there {
		return nil
	}
	parcel, err := Decode(data, p.cfg.Parcel)
	if err != nil {
		return err
	}
	if err := p.stage.keepParcel(p.cfg.Parcel, data); err != nil {
		// It is needed again only by a later run.
		p.cfg.Log(fmt.Sprintf("keep the parcel: %v", err))
	}
	if err := p.stage.sweep(parcel, p.cfg.Parcel); err != nil {
		p.cfg.Log(fmt.Sprintf("remove what was staged of something else: %v", err))
	}
	l := newLayout(parcel)
	have, local, found, err := p.lookAround(ctx, l)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.layout, p.encoded, p.have, p.local = l, data, have, local
	p.checked, p.wanted = newBitset(l.pieces()), newBitset(len(parcel.Blobs))
	p.counts.foundLocally, p.counts.foundStaged = found.foundLocally, found.foundStaged
	p.stuck = 0 // Somebody has brought the parcel.
	p.applyWants()
	return nil
}

// lookAround finds what this node has.
func (p *Peer) lookAround(ctx context.Context, l *layout) (have bitset, local map[int]bool, found counts, err error) {
	have, local = newBitset(l.pieces()), map[int]bool{}
	for n, b := range l.parcel.Blobs {
		if err := ctx.Err(); err != nil {
			return nil, nil, found, err
		}
		if p.isLocal(ctx, b.Blob) {
			local[n] = true
			found.foundLocally += b.Size
			for piece := l.first[n]; piece < l.first[n+1]; piece++ {
				have.set(piece)
			}
			continue
		}
		err := p.stage.scan(ctx, l, n, func(piece int) {
			have.set(piece)
			found.foundStaged += l.size(piece)
		})
		if err != nil {
			return nil, nil, found, fmt.Errorf("look at what was staged of %s: %w", b.Digest, err)
		}
	}
	return have, local, found, nil
}

func (p *Peer) isLocal(ctx context.Context, b bundle.Blob) bool {
	if p.cfg.Local == nil {
		return false
	}
	content, err := p.openLocal(ctx, b)
	if err != nil {
		if !errors.Is(err, bundle.ErrMissing) && ctx.Err() == nil {
			p.cfg.Log(fmt.Sprintf("blob %s is fetched, since it can't be read on this node: %v", b.Digest, err))
		}
		return false
	}
	// It was only opened.
	_ = content.Close()
	return true
}
