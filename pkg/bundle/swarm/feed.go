package swarm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// ErrFeedEnded is wrapped when a feed's byte stream has ended before the swarm
// was done. Feeding another peer goes on with what is missing.
var ErrFeedEnded = errors.New("the connection to the seed has ended")

// ErrFeedHopeless is wrapped when feeding any peer would end like this: what is
// to be sent can't be read, or the two ends do not understand each other.
var ErrFeedHopeless = errors.New("it is of no use to go on")

// FeedOptions say how the workstation feeds.
type FeedOptions struct {
	// MaxRate in bytes per second; 0 is no limit.
	MaxRate int64
	// Progress, which may be nil, is told how many bytes of pieces were sent by
	// this call and what the seed said last. It is called a few times per second
	// and never by two goroutines at once.
	Progress func(sent int64, status FeedStatus)
}

// Feed is the workstation's end of a feed: it gives a seed, over a byte stream
// at whose other end Peer.ServeFeed runs, the parcel and those pieces that it
// asks for. It returns nil when the swarm is done, an error that wraps
// ErrFeedEnded when the stream ended before, an error that wraps
// syscall.ENOSPC when the seed's disk is full, one that wraps ErrFeedHopeless
// when another feed would do no better, and the context's error when that ended. rw is closed. Readers of source that are an io.ReaderAt or an io.Seeker
// are read at any position, others from their beginning again when need be.
func Feed(ctx context.Context, rw io.ReadWriteCloser, parcel *Parcel, source bundle.Upstream, opts FeedOptions) error {
	return newFeeder(rw, parcel, source, opts).run(ctx)
}

// DialFeed connects to a peer's listening port for Feed.
func DialFeed(ctx context.Context, addr string, credentials bundle.Peers) (net.Conn, error) {
	config, err := credentials.TLS()
	if err != nil {
		return nil, err
	}
	config.NextProtos = []string{FeedProtocol}
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: config}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to the peer at %s: %w", addr, err)
	}
	return conn, nil
}
