package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// FeedProtocol is the TLS application protocol (ALPN) by which a connection to
// a peer's listening port becomes its feed; see DialFeed.
const FeedProtocol = "kubectl-ha-feed"

// How long another peer is waited for, unless Config says otherwise.
const (
	DefaultGoneAfter  = 30 * time.Second
	DefaultNeverAfter = 2 * time.Minute
	DefaultHoldsAfter = 2 * time.Minute
)

// Content is a complete blob that can be read from any position. containerd's
// content.ReaderAt is one.
type Content interface {
	io.ReaderAt
	io.Closer
	// Size in bytes.
	Size() int64
}

// Local gives complete blobs that the node has elsewhere already: containerd's
// content store. They are neither fetched nor staged, and served to others.
type Local interface {
	// Open opens a blob; one that is not there is an error that wraps
	// bundle.ErrMissing.
	Open(ctx context.Context, d digest.Digest) (Content, error)
}

// Config says what a peer is.
type Config struct {
	// Listen is address:port. Listener, when set, is used instead; the peer
	// closes it.
	Listen   string
	Listener net.Listener
	// Self is the host:port by which the others know this peer. Peers are the
	// host:port of all; Self among them is passed over.
	Self  string
	Peers []string
	// Open lets peers join that nobody named, once they ask with the credentials,
	// and processes on the same host ask for blobs; see Client.
	Open bool
	// Credentials are the same for all peers of one Operation. A peer without
	// them gets nothing.
	Credentials bundle.Peers
	// Parcel is the digest and size of what is distributed.
	Parcel bundle.Blob
	// Dir is the staging directory. What an earlier run left there is used. Only
	// one process can use it at a time.
	Dir string
	// Local may be nil.
	Local Local
	// MaxRate is how many bytes per second this peer sends to others; 0 is no
	// limit.
	MaxRate int64
	// Log, which may be nil, is told what a person may want to know: a source
	// dropped, a feed attached. It is called from many goroutines.
	Log func(message string)
	// GoneAfter is for how long a peer that was reached may be unreachable before
	// WaitAll no longer waits for it; 0 is DefaultGoneAfter.
	GoneAfter time.Duration
	// NeverAfter is how long WaitAll waits for a peer that was never reached;
	// 0 is DefaultNeverAfter.
	NeverAfter time.Duration
	// HoldsAfter is how long WaitAll waits for a peer that has all that it wants and
	// is not complete, since it unpacks it; 0 is DefaultHoldsAfter. For so long it
	// can still fetch again what turns out to be damaged on its disk.
	HoldsAfter time.Duration

	// tune is set by tests only.
	tune *tuning
}

// tuning is when patience ends, and how much is done at once.
type tuning struct {
	// tick is how often running requests are looked at.
	tick time.Duration
	// stallAfter is how long a request may be without a byte before its piece is
	// asked for elsewhere too, giveUp before it is broken off.
	stallAfter, giveUp time.Duration
	// slowAfter is when a request becomes slow while no piece has come that it
	// could be compared with; minSlow the least time before it is called slow.
	slowAfter, minSlow time.Duration
	// active is how many requests are under way, those that have stalled not
	// counted, total with them, perSource how many of one peer.
	active, total, perSource int
	// backoff is the first pause after a failure; it doubles up to maxBackoff.
	backoff, maxBackoff time.Duration
	// alive is how often a silent stream says that it lives, dead when one that
	// says nothing is given up.
	alive, dead time.Duration
	// gather is how long the feed is not asked because a peer was not reached
	// yet, snapshot how long because one that was has not told what it has.
	gather, snapshot time.Duration
	// heldUp is how long nobody may get a piece before the feed is asked also for
	// what only peers have who do not get on with giving it.
	heldUp time.Duration
	// copies is how many are sent the same piece at once; the others get it from
	// these. After busyFor a request no longer counts.
	copies  int
	busyFor time.Duration
	// window is how many bytes are asked of the feed at once, feedTries how often
	// one piece may come wrong or not at all before the feed is given up.
	window    int64
	feedTries int
	// linger is how long WaitAll waits for others to learn that this peer is
	// complete.
	linger time.Duration
}

func defaultTuning() tuning {
	return tuning{
		tick: 100 * time.Millisecond, stallAfter: 3 * time.Second, giveUp: 20 * time.Second,
		slowAfter: 10 * time.Second, minSlow: 2 * time.Second,
		active: 6, total: 9, perSource: 2,
		backoff: 200 * time.Millisecond, maxBackoff: 10 * time.Second,
		alive: 5 * time.Second, dead: 20 * time.Second,
		gather: 5 * time.Second, snapshot: 30 * time.Second, heldUp: 20 * time.Second,
		copies: 2, busyFor: time.Second,
		window: 4 * PieceSize, feedTries: 3,
		linger: 10 * time.Second,
	}
}

// check completes a configuration.
func (c *Config) check() error {
	if err := checkDigest(c.Parcel.Digest); err != nil {
		return fmt.Errorf("parcel: %w", err)
	}
	if c.Parcel.Size <= 0 || c.Parcel.Size > maxParcel {
		return fmt.Errorf("parcel %s: a size of %d bytes can't be", c.Parcel.Digest, c.Parcel.Size)
	}
	if c.Dir == "" {
		return errors.New("there is no staging directory")
	}
	for _, addr := range append([]string{c.Self}, c.Peers...) {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("peer %q: %w", addr, err)
		}
	}
	c.Peers = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(c.Peers))), func(addr string) bool { return addr == c.Self })
	if c.GoneAfter == 0 {
		c.GoneAfter = DefaultGoneAfter
	}
	if c.NeverAfter == 0 {
		c.NeverAfter = DefaultNeverAfter
	}
	if c.HoldsAfter == 0 {
		c.HoldsAfter = DefaultHoldsAfter
	}
	if c.Log == nil {
		c.Log = func(string) {}
	}
	if c.tune == nil {
		t := defaultTuning()
		c.tune = &t
	}
	return nil
}
