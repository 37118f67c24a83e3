//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
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
	// request makes one request; once, unless a test wants another.
	request func() error

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
	p := newPlainProber(url)
	p.client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	return p, nil
}

// newPlainProber is newProber for a server without TLS.
func newPlainProber(url string) *prober {
	p := &prober{
		url:    url,
		every:  20 * time.Millisecond,
		client: &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	p.request = p.once
	return p
}

// likeClientGo makes each request as programs of Kubernetes do: client-go repeats one
// whose connection was reset, after a second and within the same two. It repeats
// nothing else: what a server says of when to come again is not heard.
func (p *prober) likeClientGo() error {
	p.client.Transport = deaf{p.client.Transport}
	timeout := p.client.Timeout
	u, err := url.Parse(p.url)
	if err != nil {
		return err
	}
	config := &rest.Config{Host: u.Scheme + "://" + u.Host, ContentConfig: rest.ContentConfig{NegotiatedSerializer: scheme.Codecs, GroupVersion: &schema.GroupVersion{}}, QPS: -1}
	client, err := rest.UnversionedRESTClientForConfigAndClient(config, p.client)
	if err != nil {
		return err
	}
	// The limit is for all tries of a request together.
	p.client.Timeout = 0
	p.request = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		return client.Get().AbsPath(u.Path).Do(ctx).Error()
	}
	return nil
}

// deaf does not hear Retry-After.
type deaf struct{ http.RoundTripper }

func (d deaf) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(req)
	if resp != nil {
		resp.Header.Del("Retry-After")
	}
	return resp, err
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
	err := p.request()
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

// slowestSince is how long the slowest of the answered requests took.
func (p *prober) slowestSince(t time.Time) time.Duration {
	var slowest time.Duration
	for _, x := range p.since(t) {
		if x.err == nil && !x.pending {
			slowest = max(slowest, x.took)
		}
	}
	return slowest.Round(time.Millisecond)
}

// timeline tells of each run of failed probes since a moment: when it began and
// ended (seconds since then), how many failed and answered meanwhile, and the first error.
func (p *prober) timeline(t time.Time) string {
	var b strings.Builder
	var first, last *probe
	failed, good := 0, 0
	flush := func() {
		if first != nil {
			fmt.Fprintf(&b, "%s  %.2f s to %.2f s: %d failed, %d answered; the first after %.2f s: %v\n", first.start.Format("15:04:05.000"),
				first.start.Sub(t).Seconds(), last.start.Sub(t).Seconds(), failed, good, first.took.Seconds(), first.err)
		}
		first, failed, good = nil, 0, 0
	}
	probes := p.since(t)
	pending := 0
	for i := range probes {
		x := &probes[i]
		if x.err == nil {
			pending++
			continue
		}
		if last != nil && x.start.Sub(last.start) > 2*time.Second {
			flush()
		}
		if first == nil {
			first, pending = x, 0
		}
		last = x
		failed, good, pending = failed+1, good+pending, 0
	}
	flush()
	return b.String()
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
