package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
)

// BlobPort is the TCP port on which the first control plane serves the bundle
// to the other hosts while they are prepared; another one is taken when it is
// not free.
const BlobPort = 10270

// blobs serves the bundle's blobs from one host to all: it begins with the
// first host that needs any, and ends with the last.
type blobs struct {
	hosts  Hosts
	bundle bundle.Upstream
	server v1alpha1.Host
	port   int
	all    []v1alpha1.Host

	mu     sync.Mutex
	users  int
	source bundle.Source
	stop   func() error
	err    error
}

// begin returns where to fetch blobs from; end must be called afterwards.
func (b *blobs) begin(ctx context.Context) (bundle.Source, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return bundle.Source{}, b.err
	}
	if b.stop == nil {
		// The one that began it may end before the others.
		b.source, b.stop, b.err = b.start(context.WithoutCancel(ctx))
		if b.err != nil {
			b.err = fmt.Errorf("serve the bundle from %s: %w", b.server.Name, b.err)
			return bundle.Source{}, b.err
		}
	}
	b.users++
	return b.source, nil
}

// end stops the server when nobody uses it any more; a later begin starts it again.
func (b *blobs) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.users--; b.users > 0 {
		return nil
	}
	stop := b.stop
	b.stop = nil
	return stop()
}

func (b *blobs) start(ctx context.Context) (bundle.Source, func() error, error) {
	if b.bundle == nil {
		return bundle.Source{}, nil, errors.New("there is no bundle")
	}
	names := []string{b.server.Address, b.server.Name}
	for _, h := range b.all {
		if h.Name != b.server.Name {
			names = append(names, h.Address, h.Name)
		}
	}
	peers, err := bundle.NewPeers(names)
	if err != nil {
		return bundle.Source{}, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stdin, stdout, exited, err := b.hosts.Pipe(ctx, b.server.Name, []string{"agent", "blobs"})
	if err != nil {
		cancel()
		return bundle.Source{}, nil, err
	}
	addr, served, err := bundle.StartBlobAgent(ctx, stdin, stdout, peers.Spec(net.JoinHostPort(b.server.Address, strconv.Itoa(b.port)), prepare.StoreDir), b.bundle)
	if err != nil {
		cancel()
		return bundle.Source{}, nil, errors.Join(err, exited())
	}
	return peers.Source(addr), func() error {
		cancel()
		// That it was ended is no error, and an earlier one has failed the
		// steps that fetch.
		_, _ = served(), exited()
		return nil
	}, nil
}
