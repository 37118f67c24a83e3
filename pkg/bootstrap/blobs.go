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

// blobs serves the bundle's blobs from one host to all: from the first step that
// needs any to the end of the last.
type blobs struct {
	hosts  Hosts
	bundle bundle.Upstream
	server v1alpha1.Host
	port   int
	all    []v1alpha1.Host

	mu sync.Mutex
	// left are the steps that need blobs and have not ended.
	left   int
	source bundle.Source
	stop   func()
	err    error
}

// open returns where a host fetches blobs from; done must be called afterwards.
func (b *blobs) open(ctx context.Context, host string) (bundle.Source, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stop == nil && b.err == nil {
		// The step that began it may end before the others.
		b.source, b.stop, b.err = b.start(context.WithoutCancel(ctx))
	}
	if b.err != nil {
		return bundle.Source{}, fmt.Errorf("serve the bundle from %s: %w", b.server.Name, b.err)
	}
	source := b.source
	source.SameStore = host == b.server.Name
	return source, nil
}

// done is the end of a step that needed blobs, the last of which ends the server.
func (b *blobs) done() {
	b.mu.Lock()
	b.left--
	last := b.left == 0
	b.mu.Unlock()
	if last {
		b.close()
	}
}

// close ends the server, if it runs.
func (b *blobs) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
}

func (b *blobs) start(ctx context.Context) (bundle.Source, func(), error) {
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
	return peers.Source(addr), func() {
		cancel()
		// That it was ended is no error, and an earlier one has failed the
		// steps that fetch.
		_, _ = served(), exited()
	}, nil
}
