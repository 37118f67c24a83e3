//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"
)

// probe is one request: when it was sent, and how it ended.
type probe struct {
	start time.Time
	took  time.Duration
	err   error
	// pending is true until it has ended.
	pending bool
}

// prober asks one URL at a fixed rate, each time on a new connection, so that
// it sees what a new client would see. It verifies the server's certificate.
type prober struct {
	client *http.Client
	url    string
	every  time.Duration

	mu     sync.Mutex
	probes []*probe
	wg     sync.WaitGroup
}

// newProber makes a prober with 50 requests a second, each of at most 2 s.
func newProber(url string, ca []byte) (*prober, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("the kubeconfig has no CA certificate")
	}
	return &prober{
		url:   url,
		every: 20 * time.Millisecond,
		client: &http.Client{
			Timeout: 2 * time.Second,
			Transport: &http.Transport{
				DisableKeepAlives: true,
				TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
			},
		},
	}, nil
}

// start begins sending requests. What it returns ends that, and returns when
// the last answer is in; it may be called twice.
func (p *prober) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.run(ctx) }()
	return func() { cancel(); <-done }
}

// run sends requests until the context ends, then waits for the last answers.
func (p *prober) run(ctx context.Context) {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.wg.Wait()
			return
		case <-tick.C:
			p.wg.Add(1)
			go p.ask()
		}
	}
}

func (p *prober) ask() {
	defer p.wg.Done()
	x := &probe{start: time.Now(), pending: true}
	p.mu.Lock()
	p.probes = append(p.probes, x)
	p.mu.Unlock()
	err := p.once()
	p.mu.Lock()
	defer p.mu.Unlock()
	x.err, x.took, x.pending = err, time.Since(x.start), false
}

func (p *prober) once() error {
	resp, err := p.client.Get(p.url)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return err
}

// since returns the probes sent at or after t, in the order of their sending.
func (p *prober) since(t time.Time) []probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []probe
	for _, x := range p.probes {
		if !x.start.Before(t) {
			out = append(out, *x)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].start.Before(out[j].start) })
	return out
}

// steadyFor tells whether every probe that was sent in the last d has
// succeeded, none hangs, and there were enough of them to say so.
func (p *prober) steadyFor(d time.Duration) bool {
	now := time.Now()
	good := 0
	for _, x := range p.since(now.Add(-d)) {
		switch {
		case x.pending && now.Sub(x.start) < d/4:
			// Too young to tell.
		case x.pending || x.err != nil:
			return false
		default:
			good++
		}
	}
	return good >= int(d/p.every)/2
}

// outage is what the probes since a moment say of it.
type outage struct {
	requests, failed int
	// away is the time from the moment until the API answered again: the first
	// probe after a failure with which half a second of good answers began. Zero
	// when none failed.
	away time.Duration
	// late are failures after that. There are some when a host with an etcd member
	// freezes: for up to ten seconds the other apiservers' etcd clients still send
	// every third request to it (its connection is not closed, only silent).
	late   int
	errors map[string]int
}

func (p *prober) outageSince(t time.Time) outage {
	o := outage{errors: map[string]int{}}
	probes := p.since(t)
	o.requests = len(probes)
	again := int(500 * time.Millisecond / p.every)
	good := 0
	for i, x := range probes {
		if x.err != nil {
			o.failed++
			o.errors[x.err.Error()]++
			if o.away > 0 {
				o.late++
			}
			good = 0
			continue
		}
		good++
		if o.failed > 0 && o.away == 0 && good == again {
			o.away = probes[i-again+1].start.Sub(t)
		}
	}
	if o.failed > 0 && o.away == 0 {
		o.away = time.Since(t) // it never did
	}
	return o
}

func (o outage) String() string {
	var kinds []string
	for e, n := range o.errors {
		kinds = append(kinds, fmt.Sprintf("%d × %s", n, e))
	}
	sort.Strings(kinds)
	return fmt.Sprintf("away for %.2f s; %d of %d requests failed, %d of them late; %s",
		o.away.Seconds(), o.failed, o.requests, o.late, strings.Join(kinds, "; "))
}
