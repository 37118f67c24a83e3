package swarm

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

type flight struct{}
type other struct {
	addr                            string
	busy                            map[int]time.Time
	complete, reachable, seen, told bool
	lost                            time.Time
}
type buffers struct{}
type feeder struct{}

func newLimiter(int64) *rate.Limiter                                              { return nil }
func newClient(*tls.Config) *http.Client                                          { return nil }
func (p *Peer) newServer(*tls.Config) *http.Server                                { return nil }
func (p *Peer) listen(context.Context) error                                      { return errors.ErrUnsupported }
func (p *Peer) findParcel(context.Context)                                        {}
func (p *Peer) fetchLoop(context.Context)                                         {}
func (p *Peer) follow(context.Context, *other)                                    {}
func (p *Peer) fail(error)                                                        {}
func newFeeder(io.ReadWriteCloser, *Parcel, bundle.Upstream, FeedOptions) *feeder { return nil }
func (f *feeder) run(context.Context) error                                       { return errors.ErrUnsupported }

// Status tells what this peer has and knows.
func (p *Peer) Status() Status { return Status{} }

// ServeFeed is the seed's end of a feed: it asks the workstation at the other
// end of rw, where Feed runs, for the parcel and for each piece that any
// reachable peer wants and none has, until the swarm is done (it returns nil),
// the stream or the context ends, or the feed fails. rw is closed.
func (p *Peer) ServeFeed(ctx context.Context, rw io.ReadWriteCloser) error {
	return errors.ErrUnsupported
}
