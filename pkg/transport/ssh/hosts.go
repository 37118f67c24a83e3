package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// closeTimeout bounds the clean-up on the hosts when everything else is over.
const closeTimeout = 15 * time.Second

// Hosts are connections to the hosts of a cluster, one each, with the agent put
// there when it is first needed. It is a transport.Runner. Its methods may be
// called from many goroutines.
type Hosts struct {
	dialer *Dialer
	source AgentSource
	blobs  compressed
	hosts  map[string]*machine
	failed map[string]error
}

// machine is one host: its connection and, once put there, its agent.
type machine struct {
	conn *Conn

	mu    sync.Mutex
	ready bool
	sudo  bool
	agent remoteAgent
}

// Connect logs in to all targets in parallel. The Hosts are returned even when
// some or all can't be reached: the error joins one *Error for each of those,
// which Failed tells apart, and the others can be used.
func Connect(ctx context.Context, dialer *Dialer, targets []Target, source AgentSource) (*Hosts, error) {
	h := &Hosts{dialer: dialer, source: source, hosts: map[string]*machine{}, failed: map[string]error{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, t := range targets {
		wg.Add(1)
		go func() {
			defer wg.Done()
			conn, err := dialer.Dial(ctx, t)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				h.failed[t.Name] = err
				return
			}
			h.hosts[t.Name] = &machine{conn: conn}
		}()
	}
	wg.Wait()
	var errs []error
	for _, t := range targets {
		if err := h.failed[t.Name]; err != nil {
			errs = append(errs, err)
		}
	}
	return h, errors.Join(errs...)
}

// Failed are the hosts that could not be connected to, and why.
func (h *Hosts) Failed() map[string]error { return h.failed }

// Names are the connected hosts.
func (h *Hosts) Names() []string {
	var out []string
	for name := range h.hosts {
		out = append(out, name)
	}
	return out
}

func (h *Hosts) machine(name string) (*machine, error) {
	if m, ok := h.hosts[name]; ok {
		return m, nil
	}
	if err, ok := h.failed[name]; ok {
		return nil, err
	}
	return nil, fmt.Errorf("there is no connection to host %q", name)
}

// ensureAgent puts the agent on the host unless it is there.
func (h *Hosts) ensureAgent(ctx context.Context, m *machine) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ready {
		return nil
	}
	var arch string
	asked := make(chan error, 1)
	go func() {
		var err error
		arch, err = m.conn.output(ctx, "uname", "-m")
		asked <- err
	}()
	sudo, err := m.conn.checkSudo(ctx)
	if archErr := <-asked; err == nil && archErr != nil {
		err = m.conn.setupError("ask for the architecture", archErr)
	}
	if err != nil {
		return err
	}
	agent, err := m.conn.putAgent(ctx, arch, sudo, h.source, &h.blobs)
	if err != nil {
		return err
	}
	m.sudo, m.agent, m.ready = sudo, agent, true
	return nil
}

// Ready puts the agent on the host and finds out about sudo, unless that was
// done before.
func (h *Hosts) Ready(ctx context.Context, host string) error {
	m, err := h.machine(host)
	if err != nil {
		return err
	}
	return h.ensureAgent(ctx, m)
}

// start starts the agent with the arguments, as root.
func (h *Hosts) start(ctx context.Context, host string, args ...string) (*Process, error) {
	m, err := h.machine(host)
	if err != nil {
		return nil, err
	}
	if err := h.ensureAgent(ctx, m); err != nil {
		return nil, err
	}
	argv := append([]string{m.agent.path}, args...)
	if m.sudo {
		argv = append(sudoPrefix[:], argv...)
	}
	return m.conn.Start(ctx, argv)
}

// DialContext returns a dialler of addresses as seen from the host.
func (h *Hosts) DialContext(host string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		m, err := h.machine(host)
		if err != nil {
			return nil, err
		}
		return m.conn.DialContext(ctx, network, addr)
	}
}

// Close removes what was put on the hosts for this run only, and ends all
// connections, those of the Dialer to jump hosts as well.
func (h *Hosts) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	errs := make(chan error, len(h.hosts))
	for _, m := range h.hosts {
		go func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			var err error
			select {
			case <-m.conn.Lost():
			default:
				err = m.conn.removeAgent(ctx, m.agent)
			}
			m.ready, m.agent = false, remoteAgent{}
			errs <- errors.Join(err, m.conn.Close())
		}()
	}
	var all []error
	for range h.hosts {
		all = append(all, <-errs)
	}
	return errors.Join(append(all, h.dialer.Close())...)
}
