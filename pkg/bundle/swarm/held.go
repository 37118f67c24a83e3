package swarm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Held is the workstation's end of a session in which RunHosted runs.
type Held struct {
	addr string
	out  *bufio.Reader

	mu      sync.Mutex
	stdin   io.WriteCloser
	feeding bool
}

// Hold begins a session: it says where to listen and is told the address.
func Hold(stdin io.WriteCloser, stdout io.Reader, listen string) (*Held, error) {
	h := &Held{out: bufio.NewReaderSize(stdout, 64<<10), stdin: stdin}
	if err := h.send(order{Listen: listen}); err != nil {
		return nil, errors.Join(err, stdin.Close())
	}
	var first news
	err := readLine(h.out, &first)
	if err == nil && first.Listening == "" {
		err = errors.New(first.Error)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the blob peer did not start: %w", err), stdin.Close())
	}
	h.addr = first.Listening
	return h, nil
}

// Addr is where the peer listens.
func (h *Held) Addr() string { return h.addr }

// Start says what to do.
func (h *Held) Start(spec HostedSpec) error { return h.send(order{Start: &spec}) }

// Feed has the session become a feed; Run then calls feed. Once is enough.
func (h *Held) Feed() error { return h.send(order{Feed: true}) }

func (h *Held) send(o order) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.feeding {
		return nil
	}
	h.feeding = o.Feed
	if err := json.NewEncoder(h.stdin).Encode(o); err != nil {
		return fmt.Errorf("tell the blob peer what to do: %w", err)
	}
	return nil
}

// Run holds the session until it ends or the context does, which is no error.
// stuck is called while the peer lacks what nobody gives it, feed once the session
// has become a feed; it closes rw.
func (h *Held) Run(ctx context.Context, stuck func(), feed func(rw io.ReadWriteCloser) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go h.live(ctx)
	stop := context.AfterFunc(ctx, func() {
		// The peer sees the end of its input and ends.
		_ = h.stdin.Close()
	})
	defer stop()
	for {
		var n news
		err := readLine(h.out, &n)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("the blob peer on the host has ended: %w", err)
		case n.Error != "":
			return errors.New(n.Error)
		case n.Stuck:
			stuck()
		case n.Feeding:
			err := feed(&heldStream{Reader: h.out, WriteCloser: h.stdin})
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// live says from time to time that the workstation lives.
func (h *Held) live(ctx context.Context) {
	tick := time.NewTicker(feedAlive)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if h.send(order{}) != nil {
			return // Reading ends as well.
		}
	}
}

// heldStream is what is left of a session once it has become a feed. Closing its
// input ends the peer, and thereby its output.
type heldStream struct {
	io.Reader
	io.WriteCloser
}
