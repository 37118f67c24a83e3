package upgrade

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// probeInterval is the time between two probes, probeTimeout what one may take.
	probeInterval = 250 * time.Millisecond
	probeTimeout  = 2 * time.Second
)

// probes counts how often the API was asked for and how often it answered.
type probes struct{ asked, answered int }

// String is the count in words.
func (p probes) String() string {
	return fmt.Sprintf("the API answered %d of %d times", p.answered, p.asked)
}

// probe asks at an address again and again, each time on a new connection and without a
// login, until the function that it returns is called. Any answer counts but one
// that says of the server itself that it can't serve.
func probe(ctx context.Context, config *rest.Config, address string) (end func() probes, err error) {
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("probe %s: %w", address, err)
	}
	client := &http.Client{Timeout: probeTimeout, Transport: &http.Transport{TLSClientConfig: tls, DisableKeepAlives: true}}
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var seen probes
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(probeInterval)
		defer tick.Stop()
		for {
			all.Go(func() {
				ok := answers(ctx, client, "https://"+address+"/readyz")
				mu.Lock()
				defer mu.Unlock()
				if ctx.Err() != nil {
					return // It was cut short by the end.
				}
				seen.asked++
				if ok {
					seen.answered++
				}
			})
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() probes {
		cancel()
		all.Wait()
		return seen
	}, nil
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // The status says it.
	return resp.StatusCode < http.StatusInternalServerError
}
