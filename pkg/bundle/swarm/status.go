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
	// Stuck is for how long there has been such content and no feed to bring it.
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
	// Peers are all of them, the seed first.
	Peers []PeerStatus `json:"peers"`
	// Done says that every peer is complete or gone: the feed is no longer of use.
	Done bool `json:"done"`
}

// AllIn says that all that is wanted is in the swarm: the peers can finish
// without the workstation. A peer that comes later may want more.
func (s FeedStatus) AllIn() bool { return s.InSwarm == s.Wanted && s.Wanted > 0 }
