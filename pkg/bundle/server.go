package bundle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Server serves blobs to other hosts over mutual TLS, GET /blobs/<digest> with
// ranges: from its store, and what is missing there from an upstream, pulled
// once, kept, and passed on while it arrives.
type Server struct {
	store    *Store
	flights  *flights
	mu       sync.Mutex
	verified map[digest.Digest]bool
}

// NewServer makes a server; upstream may be nil. life bounds the pulls from it.
func NewServer(life context.Context, store *Store, upstream Upstream) *Server {
	s := &Server{store: store, verified: map[digest.Digest]bool{}}
	if upstream != nil {
		s.flights = &flights{life: life, store: store, upstream: upstream, arrived: s.trust,
			running: map[digest.Digest]*flight{}, wrong: map[digest.Digest]error{}}
	}
	return s
}

// Serve serves on a listener until the context ends; that is not an error. Only
// peers with a certificate of ca's are answered. All are PEM.
func (s *Server) Serve(ctx context.Context, l net.Listener, ca, cert, key []byte) error {
	config, err := tlsConfig(ca, cert, key)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	config.ClientCAs, config.ClientAuth = config.RootCAs, tls.RequireAndVerifyClientCert
	server := &http.Server{
		Handler: s, TLSConfig: config,
		ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute,
		// Peers that break off and strangers without a certificate are no news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	stop := context.AfterFunc(ctx, func() {
		// Serve returns the reason.
		_ = server.Close()
	})
	defer stop()
	err = server.Serve(tls.NewListener(l, config))
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve blobs on %s: %w", l.Addr(), err)
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d, ok := digestOfPath(r.URL.Path)
	if !ok || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		http.NotFound(w, r)
		return
	}
	// Between a look into the store and joining a flight, that flight may have
	// ended: then the blob is in the store at the next look.
	for range 3 {
		if f, err := s.stored(r.Context(), d); err == nil {
			serveSeeker(w, r, d, f)
			// It was only read.
			_ = f.Close()
			return
		} else if s.flights == nil || !errors.Is(err, ErrMissing) {
			refuse(w, err)
			return
		}
		if s.along(w, r, d) {
			return
		}
	}
	refuse(w, fmt.Errorf("blob %s: it came and went", d))
}

// stored opens a blob of the store; the first time it is read through, since
// the disk may have lost what was right when it was written.
func (s *Server) stored(ctx context.Context, d digest.Digest) (*os.File, error) {
	f, err := s.store.Open(d)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	known := s.verified[d]
	s.mu.Unlock()
	if known {
		return f, nil
	}
	if err := s.store.Verify(ctx, d); err != nil {
		err = errors.Join(err, f.Close())
		if errors.Is(err, errDigest) {
			return nil, fmt.Errorf("%w: %w", err, ErrMissing)
		}
		return nil, err
	}
	s.trust(d)
	return f, nil
}

// trust notes that a blob was found to be right.
func (s *Server) trust(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verified[d] = true
}

// along answers while the blob arrives from the upstream. False when it had
// arrived before anything could be opened.
func (s *Server) along(w http.ResponseWriter, r *http.Request, d digest.Digest) bool {
	one, err := s.flights.join(d)
	if err != nil {
		refuse(w, err)
		return true
	}
	if one == nil {
		return false
	}
	select {
	case <-one.ready:
	case <-r.Context().Done():
		return true
	}
	if done, err := one.outcome(); done {
		if err != nil {
			refuse(w, err)
		}
		return err != nil
	}
	f, err := os.Open(one.writer.file.Name())
	if err != nil {
		// The file was renamed in this moment, or its flight failed.
		if done, failed := one.outcome(); done && failed != nil {
			refuse(w, failed)
			return true
		}
		return false
	}
	serveSeeker(w, r, d, &follow{ctx: r.Context(), flight: one, file: f})
	// It was only read.
	_ = f.Close()
	return true
}

// tlsConfig is both ends' TLS: 1.3, a certificate of one's own, peers of ca's.
func tlsConfig(ca, cert, key []byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate for serving and fetching blobs: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("CA for serving and fetching blobs: there is no certificate in it")
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: pool,
		NextProtos: []string{"http/1.1"}}, nil
}
