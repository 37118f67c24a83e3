package balancer

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Checker looks at apiservers' /readyz, each time on a new connection as a client's
// would be, and tells when which of them fail has changed.
type Checker struct {
	port   int32
	caFile string

	mu      sync.Mutex
	stop    map[string]context.CancelFunc
	count   map[string]int
	down    map[string]string
	since   map[string]time.Time
	changed chan struct{}
	// refused is members.refused.
	refused bool
}

// NewChecker makes a Checker that looks at nobody yet.
func NewChecker(port int32, caFile string) *Checker {
	return &Checker{port: port, caFile: caFile, stop: map[string]context.CancelFunc{}, count: map[string]int{},
		down: map[string]string{}, since: map[string]time.Time{}, changed: make(chan struct{}, 1)}
}

// Changed gets something when who is down has changed.
func (c *Checker) Changed() <-chan struct{} { return c.changed }

// Down are those that fail, and why.
func (c *Checker) Down() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.down)
}

// DownSince tells whether anybody has been down since then, and fails still.
func (c *Checker) DownSince(then time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.down {
		// One that answers again is merely not back yet.
		if !c.since[name].After(then) && c.count[name] == 0 {
			return true
		}
	}
	return false
}

// watchAll looks at these from now on, and at no others; until the context ends.
func (c *Checker) watchAll(ctx context.Context, all members) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = all.refused
	want := map[string]bool{}
	for _, b := range all.backends {
		key := b.Name + " " + b.Address
		want[key] = true
		if c.stop[key] != nil {
			continue
		}
		own, cancel := context.WithCancel(ctx)
		c.stop[key] = cancel
		go c.watch(own, b)
	}
	for key, cancel := range c.stop {
		if !want[key] {
			cancel()
			delete(c.stop, key)
		}
	}
}

func (c *Checker) watch(ctx context.Context, b Backend) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.down, b.Name)
		delete(c.count, b.Name)
	}()
	for {
		err := c.look(ctx, b)
		if ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(c.note(b.Name, err)):
		}
	}
}

// note counts what was seen, and says when to look again: soon, while it is about to
// be decided.
func (c *Checker) note(name string, seen error) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, down := c.down[name]
	if down == (seen != nil) {
		c.count[name] = 0
		if down {
			c.down[name] = seen.Error()
		}
		return checkInterval
	}
	c.count[name]++
	switch {
	case seen != nil && c.count[name] >= checkFall:
		c.down[name], c.since[name] = seen.Error(), time.Now()
	case seen == nil && c.count[name] >= checkRise && time.Since(c.since[name]) >= backTime:
		delete(c.down, name)
	default:
		return quickInterval
	}
	c.count[name] = 0
	select {
	case c.changed <- struct{}{}:
	default: // It has not been heard yet, and says no more.
	}
	return checkInterval
}

// look asks once.
func (c *Checker) look(ctx context.Context, b Backend) error {
	config, err := tlsConfig(c.caFile)
	if err != nil {
		return err
	}
	c.mu.Lock()
	refused := c.refused
	c.mu.Unlock()
	return ready(ctx, config, b.endpoint(c.port), checkTimeout, refused)
}

// Ready asks an apiserver, or whoever is in front of some, for /readyz on a connection
// of its own. One that refuses strangers is alive. endpoint is HOST:PORT.
func Ready(ctx context.Context, config *tls.Config, endpoint string, timeout time.Duration) error {
	return ready(ctx, config, endpoint, timeout, true)
}

// ready asks as someone whom the apiserver does not know. refused says whether one that
// refuses that counts as ready.
func ready(ctx context.Context, config *tls.Config, endpoint string, timeout time.Duration, refused bool) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	status, err := readyz(ctx, client, endpoint)
	if err != nil || status == http.StatusOK || refused && refuses(status) {
		return err
	}
	return fmt.Errorf("/readyz answers %d %s", status, http.StatusText(status))
}

// readyz asks for /readyz, of which only the status counts.
func readyz(ctx context.Context, client *http.Client, endpoint string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+endpoint+"/readyz", nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}

// refuses tells whether that is what a stranger is answered where strangers get nothing.
func refuses(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}
