package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// wantPath is where a process on the same host asks for a blob.
const wantPath = "/want/"

// Source is where processes of a host ask for blobs: the host's own peer. It
// holds a secret.
type Source struct {
	// Addr is the peer's host:port.
	Addr        string       `json:"addr"`
	Credentials bundle.Peers `json:"credentials"`
}

// Client gets blobs through the peer on the same host, which is an open one.
type Client struct {
	source Source
	dir    string
	http   *http.Client
}

// NewClient makes a client; dir is the peer's staging directory. The caller
// closes it.
func NewClient(source Source, dir string) (*Client, error) {
	addr, err := net.ResolveTCPAddr("tcp", source.Addr)
	if err != nil {
		return nil, fmt.Errorf("this host's peer: %w", err)
	}
	// By its own address the peer sees that it is asked from the same host.
	return newClientFrom(source, dir, addr.IP)
}

func newClientFrom(source Source, dir string, local net.IP) (*Client, error) {
	config, err := source.Credentials.TLS()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: local}}
	// No proxy, and no bound of the wait: the answer comes once the blob is there,
	// and a peer on the same host that is gone is noticed at once.
	return &Client{source: source, dir: dir, http: &http.Client{Transport: &http.Transport{
		TLSClientConfig: config, DialContext: dialer.DialContext, DisableCompression: true, MaxIdleConnsPerHost: 8}}}, nil
}

// Close ends its connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Fetch has the peer fetch a blob, waits until all its pieces are there, and
// tells how many bytes were not there before. A blob that is not in the parcel is
// an error that wraps bundle.ErrMissing.
func (c *Client) Fetch(ctx context.Context, b bundle.Blob) (int64, error) {
	if err := checkDigest(b.Digest); err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.source.Addr+wantPath+b.Digest.String(), nil)
	if err != nil {
		return 0, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask this host's peer for blob %s: %w", b.Digest, err)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, chunk))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return 0, fmt.Errorf("ask this host's peer for blob %s: %w", b.Digest, err)
	}
	answer := strings.TrimSpace(string(text))
	switch res.StatusCode {
	case http.StatusOK:
		return strconv.ParseInt(answer, 10, 64)
	case http.StatusNotFound:
		return 0, fmt.Errorf("%s: %w", answer, bundle.ErrMissing)
	case http.StatusInsufficientStorage:
		return 0, fmt.Errorf("%s: %w", answer, syscall.ENOSPC)
	}
	return 0, fmt.Errorf("ask this host's peer for blob %s: %s: %s", b.Digest, res.Status, answer)
}

// Open opens a blob that Fetch has brought, at its beginning. Its pieces were
// checked as they arrived; who uses it compares its whole digest.
func (c *Client) Open(d digest.Digest) (*os.File, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	f, err := os.Open((&stage{dir: c.dir}).path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s in %s: %w", d, filepath.Clean(c.dir), bundle.ErrMissing)
	}
	return f, err
}

// serveWant has a blob fetched for a process on this host, and answers with how
// many bytes were missing once it is there.
func (p *Peer) serveWant(w http.ResponseWriter, r *http.Request) {
	d := digest.Digest(r.PathValue("digest"))
	if !sameHost(r) || checkDigest(d) != nil {
		http.NotFound(w, r)
		return
	}
	// Where it will be put, unless that was done by an earlier run.
	missing, err := p.missingOf(r.Context(), d)
	if err == nil {
		p.Want(d)
		_, err = p.awaitBlob(r.Context(), d)
	}
	if err == nil {
		// One who no longer listens needs no answer.
		_, _ = fmt.Fprintln(w, missing)
		return
	}
	code := http.StatusBadGateway
	switch {
	case errors.Is(err, bundle.ErrMissing):
		code = http.StatusNotFound
	case errors.Is(err, syscall.ENOSPC):
		code = http.StatusInsufficientStorage
	}
	http.Error(w, fmt.Sprintf("blob %s: %v", d, err), code)
}

// missingOf waits for the parcel and tells how many bytes of a blob are not here.
func (p *Peer) missingOf(ctx context.Context, d digest.Digest) (n int64, err error) {
	if _, err := p.Parcel(ctx); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	blob, ok := p.layout.byDigest[d]
	if !ok {
		return 0, fmt.Errorf("it is not in the parcel: %w", bundle.ErrMissing)
	}
	for piece := p.layout.first[blob]; piece < p.layout.first[blob+1]; piece++ {
		if !p.have.has(piece) {
			n += p.layout.size(piece)
		}
	}
	return n, nil
}

// sameHost tells whether a request comes from this very host.
func sameHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	here, _, err := net.SplitHostPort(local.String())
	there, _, failed := net.SplitHostPort(r.RemoteAddr)
	return err == nil && failed == nil && here == there
}

// inUsePoll is the time between two tries to take a staging directory.
const inUsePoll = 200 * time.Millisecond

// newPeerWithin makes a peer once the process that uses its staging directory has
// ended: that of an interrupted run ends when it notices.
func newPeerWithin(ctx context.Context, cfg Config, within time.Duration) (*Peer, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	poll := time.NewTicker(inUsePoll)
	defer poll.Stop()
	for {
		p, err := NewPeer(cfg)
		if !errors.Is(err, ErrInUse) {
			return p, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-poll.C:
		}
	}
}
