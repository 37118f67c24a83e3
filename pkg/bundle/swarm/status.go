package swarm

import "time"

// Status is what a peer has and knows at one moment. Sizes are in bytes.
type Status struct {
	// Parcel says that the parcel is there.
	Parcel bool `json:"parcel"`
	// Wanted is what this peer wants, Had what it has of that.
	Wanted int64 `json:"wanted"`
	Had    int64 `json:"had"`
	// FromFeed and FromPeers came over the network since the start, FoundLocally
	// was in Config.Local and FoundStaged in the staging directory.
	FromFeed     int64 `json:"fromFeed"`
	FromPeers    int64 `json:"fromPeers"`
	FoundLocally int64 `json:"foundLocally"`
	FoundStaged  int64 `json:"foundStaged"`
	// Sent is what this peer sent to others.
	Sent int64 `json:"sent"`
	// Refused counts the pieces that came and were wrong.
	Refused int `json:"refused"`
	// Feed says that a feed is attached to this peer, SwarmFeed that one is
	// attached to it or to another peer.
	Feed      bool `json:"feed"`
	SwarmFeed bool `json:"swarmFeed"`
	// NobodyHas is what this peer wants and neither it nor a reachable peer has.
	NobodyHas int64 `json:"nobodyHas"`
	// Stuck is for how long there has been such content and no feed to bring it;
	// zero while there is one. A feed that came and went and brought nothing of it
	// has ended nobody's wait.
	Stuck time.Duration `json:"stuck"`
	// Error is why this peer has given up fetching (a full disk); "" when not.
	Error string       `json:"error,omitempty"`
	Peers []PeerStatus `json:"peers"`
}

// PeerStatus is what is known of another peer.
type PeerStatus struct {
	// Addr is host:port.
	Addr string `json:"addr"`
	// Seen says that it was reached at least once, Reachable that it is now.
	Seen      bool `json:"seen"`
	Reachable bool `json:"reachable"`
	// Complete says that it has all that it needs.
	Complete bool `json:"complete"`
	// Feed says that a feed is attached to it.
	Feed bool `json:"feed"`
	// Wanted is what it wants, Had what it has of that, in bytes.
	Wanted int64 `json:"wanted"`
	Had    int64 `json:"had"`
	// Dropped is why nothing is fetched from it any more; "" when it is.
	Dropped string `json:"dropped,omitempty"`
	// LastError is why it could not be reached the last time.
	LastError string `json:"lastError,omitempty"`
}

// FeedStatus is what the seed tells the workstation about the swarm.
type FeedStatus struct {
	// Wanted is the sum of the blobs that any reachable peer wants, InSwarm what
	// reachable peers have of that. In bytes.
	Wanted  int64 `json:"wanted"`
	InSwarm int64 `json:"inSwarm"`
	// Awaited counts the peers that have not told yet what they want, and are
	// waited for.
	Awaited int `json:"awaited"`
	// Peers are all of them, the seed first.
	Peers []PeerStatus `json:"peers"`
	// Done says that every peer is complete or gone: the feed is no longer of use.
	Done bool `json:"done"`
}

// AllIn says that all that is wanted is in the swarm: the peers can finish
// without the workstation. A peer that comes so late that nobody waits for it may
// want more.
func (s FeedStatus) AllIn() bool { return s.InSwarm == s.Wanted && s.Wanted > 0 && s.Awaited == 0 }

// Everywhere says that every peer holds all that it wants, though it may have to
// unpack it still.
func (s FeedStatus) Everywhere() bool {
	for _, p := range s.Peers {
		if !p.Complete && (p.Wanted == 0 || p.Had < p.Wanted) {
			return false
		}
	}
	return len(s.Peers) > 0
}

// Status tells what this peer has and knows.
func (p *Peer) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		Parcel: p.layout != nil, FromFeed: p.counts.fromFeed, FromPeers: p.counts.fromPeers,
		FoundLocally: p.counts.foundLocally, FoundStaged: p.counts.foundStaged, Sent: p.counts.sent,
		Refused: p.counts.refused, Feed: p.feeds > 0, SwarmFeed: p.swarmFeed(), NobodyHas: p.nobodyHas(),
	}
	if p.failed != nil {
		s.Error = p.failed.Error()
	}
	if !s.SwarmFeed {
		s.Stuck = p.stuck
	}
	if p.layout != nil {
		s.Wanted, s.Had = p.layout.bytes(p.wanted, p.have.has)
	}
	for _, o := range p.others {
		s.Peers = append(s.Peers, p.statusOf(o))
	}
	return s
}

func (p *Peer) statusOf(o *other) PeerStatus {
	s := PeerStatus{Addr: o.addr, Seen: o.seen, Reachable: o.reachable, Complete: o.complete, Feed: o.feed,
		Dropped: o.dropped, LastError: o.lastError}
	if p.layout != nil {
		s.Wanted, s.Had = p.layout.bytes(o.wants, o.have.has)
	}
	return s
}

// feedStatus is what the workstation is told. The lock is held.
func (p *Peer) feedStatus(now time.Time) FeedStatus {
	s := FeedStatus{Done: (p.complete || p.failed != nil) && p.othersDone(now), Awaited: p.awaited(now)}
	self := PeerStatus{Addr: p.cfg.Self, Seen: true, Reachable: true, Complete: p.complete, Feed: true}
	if p.layout != nil {
		self.Wanted, self.Had = p.layout.bytes(p.wanted, p.have.has)
		wanted, missing := p.wantedAndMissing(false)
		s.Wanted, _ = p.layout.bytes(wanted, p.have.has)
		s.InSwarm = s.Wanted
		for _, piece := range missing {
			s.InSwarm -= p.layout.size(piece)
		}
	}
	s.Peers = append(s.Peers, self)
	for _, o := range p.others {
		s.Peers = append(s.Peers, p.statusOf(o))
	}
	return s
}

// swarmFeed says that there is a feed somewhere that learns what this peer wants:
// one at a peer that does not listen to this one is of no use. The lock is held.
func (p *Peer) swarmFeed() bool {
	if p.feeds > 0 {
		return true
	}
	for _, o := range p.others {
		if o.reachable && o.feed && (o.hears > 0 || o.begged != "") {
			return true
		}
	}
	return false
}

// nobodyHas is how many bytes this peer wants that nobody has; the whole parcel's
// own while that is missing. The lock is held.
func (p *Peer) nobodyHas() int64 {
	if p.layout != nil {
		wanted, there := p.layout.bytes(p.wanted, func(piece int) bool { return p.available(piece, nil) })
		return wanted - there
	}
	for _, o := range p.others {
		if o.reachable && o.dropped == "" && o.parcel {
			return 0
		}
	}
	return p.cfg.Parcel.Size
}

// noteStuck counts for how long only a feed could help and there was none. That
// one is attached does not begin it anew, only what it brings. The lock is held.
func (p *Peer) noteStuck(now time.Time) {
	lacks := p.nobodyHas()
	switch {
	case p.failed != nil || lacks < p.lacked || lacks == 0:
		p.stuck = 0
	case !p.swarmFeed() && !p.seen.IsZero():
		p.stuck += now.Sub(p.seen)
	}
	if p.seen = now; p.stuck == 0 || lacks < p.lacked {
		p.lacked = lacks
	}
}
