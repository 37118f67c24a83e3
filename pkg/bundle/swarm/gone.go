package swarm

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// away says that a peer that is not reachable is not waited for any longer. The lock
// is held.
func (p *Peer) away(o *other, now time.Time) bool {
	if o.seen {
		return now.Sub(o.lost) >= p.cfg.GoneAfter
	}
	return !p.began.IsZero() && now.Sub(p.began) >= p.cfg.NeverAfter
}

// othersDone is what WaitAll waits for. The lock is held.
func (p *Peer) othersDone(now time.Time) bool {
	done := true
	for _, o := range p.others {
		switch {
		case o.complete:
		case !o.reachable:
			done = done && p.away(o, now)
		default:
			done = p.needsNobody(o, now) && done
		}
	}
	return done
}

// needsNobody says that a peer has had all that it wants for Config.HoldsAfter, so
// that it only has to unpack it: when that hangs, it holds up nobody else. In an open
// swarm it may come to want more. The lock is held.
func (p *Peer) needsNobody(o *other, now time.Time) bool {
	if p.layout == nil || p.cfg.Open {
		return false
	}
	if wanted, had := p.layout.bytes(o.wants, o.have.has); wanted == 0 || had < wanted {
		o.holds = time.Time{}
		return false
	}
	if o.holds.IsZero() {
		o.holds = now
	}
	return now.Sub(o.holds) >= p.cfg.HoldsAfter
}

// awaited counts the peers that have not told yet what they want, and may: those that
// were not reached, and those that are looking at what they have. The lock is held.
func (p *Peer) awaited(now time.Time) (n int) {
	undecided := func(wants bitset) bool {
		if p.layout == nil {
			return true
		}
		wanted, _ := p.layout.bytes(wants, func(int) bool { return false })
		return wanted == 0
	}
	if !p.complete && p.failed == nil && undecided(p.wanted) {
		n++
	}
	for _, o := range p.others {
		switch {
		case o.complete:
		case !o.reachable && !p.away(o, now), o.reachable && undecided(o.wants):
			n++
		}
	}
	return n
}

// WaitFor returns nil when each of these peers is complete, or was reached once and
// has been unreachable for Config.GoneAfter, or was not reached within Config.NeverAfter.
func (p *Peer) WaitFor(ctx context.Context, peers []string) error {
	err := p.awaitTicking(ctx, func() (bool, error) {
		now := time.Now()
		return !slices.ContainsFunc(p.others, func(o *other) bool {
			return slices.Contains(peers, o.addr) && !o.complete && (o.reachable || !p.away(o, now))
		}), nil
	})
	if err != nil {
		return fmt.Errorf("wait for other peers: %w", err)
	}
	return nil
}
