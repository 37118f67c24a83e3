package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// A connection is lost when this many keepalives in a row went unanswered for
// this long each.
const (
	keepaliveInterval = 5 * time.Second
	keepaliveMissed   = 3
)

// hostKeyNegotiation is what xssh calls the choice of a host key's algorithm.
const hostKeyNegotiation = "host key"

// Dialer makes connections. Targets with the same jump host share one
// connection to it. Its methods may be called from many goroutines.
type Dialer struct {
	// Warn is told what is passed over in known_hosts, each once; nil for nobody.
	// It may be called from many goroutines.
	Warn func(message string)

	keys      hostKeys
	keepalive time.Duration

	mu    sync.Mutex
	jumps map[string]*jump
}

type jump struct {
	done chan struct{}
	conn *Conn
	err  error
}

// NewDialer makes a Dialer. An empty policy is Strict.
func NewDialer(policy HostKeyPolicy) *Dialer {
	if policy == "" {
		policy = Strict
	}
	return &Dialer{keys: hostKeys{policy: policy}, keepalive: keepaliveInterval, jumps: map[string]*jump{}}
}

// Close closes the connections to jump hosts, and with them all that go through them.
func (d *Dialer) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, j := range d.jumps {
		<-j.done
		if j.conn != nil {
			errs = append(errs, j.conn.Close())
		}
	}
	d.jumps = map[string]*jump{}
	return errors.Join(errs...)
}

// Conn is a connection to one host, logged in.
type Conn struct {
	target Target
	client *xssh.Client
	// lost is closed when the connection has ended, for whatever reason.
	lost chan struct{}

	mu   sync.Mutex
	dead error
}

// Dial connects to a target and logs in. All errors are *Error, but for the
// context's own.
func (d *Dialer) Dial(ctx context.Context, t Target) (*Conn, error) {
	through, err := d.through(ctx, t.Jump)
	if err != nil {
		return nil, err
	}
	return d.connect(ctx, t, through)
}

// through returns the connection to the last of the jump hosts, nil for none.
func (d *Dialer) through(ctx context.Context, hops []Target) (*Conn, error) {
	if len(hops) == 0 {
		return nil, nil
	}
	key := ""
	for _, h := range hops {
		key += h.String() + " " + h.ProxyCommand + "\n"
	}
	d.mu.Lock()
	j, found := d.jumps[key]
	if !found {
		j = &jump{done: make(chan struct{})}
		d.jumps[key] = j
	}
	d.mu.Unlock()
	if found {
		select {
		case <-j.done:
			return j.conn, j.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer close(j.done)
	before, err := d.through(ctx, hops[:len(hops)-1])
	if err != nil {
		j.err = err
		return nil, err
	}
	j.conn, j.err = d.connect(ctx, hops[len(hops)-1], before)
	return j.conn, j.err
}

func (d *Dialer) connect(ctx context.Context, t Target, through *Conn) (*Conn, error) {
	keys, err := loadKeys(t)
	if err != nil {
		return nil, named(err, t)
	}
	defer keys.close()
	check, err := d.keys.forTarget(t, d.Warn)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, t.ConnectTimeout)
	defer cancel()
	conn, err := open(limited, t, through)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, unreachable(t, err)
	}
	// A deadline on the connection would not work through a jump host.
	stop := context.AfterFunc(limited, func() { _ = conn.Close() }) // the handshake then fails, and says so
	sshConn, channels, requests, err := xssh.NewClientConn(conn, t.Addr(), &xssh.ClientConfig{
		Config:            t.Algorithms.config(),
		User:              t.User,
		Auth:              []xssh.AuthMethod{xssh.PublicKeys(keys.signers...)},
		HostKeyCallback:   check.callback,
		HostKeyAlgorithms: check.algorithms,
		ClientVersion:     "SSH-2.0-kubectl-ha",
	})
	if !stop() || err != nil {
		_ = conn.Close() // it is of no use any more
		err := handshakeError(ctx, limited, t, keys, check, err)
		if proxy, ok := conn.(*proxyConn); ok {
			err = proxyError(err, proxy)
		}
		return nil, err
	}
	c := &Conn{target: t, client: xssh.NewClient(sshConn, channels, requests), lost: make(chan struct{})}
	go c.watch()
	go c.keepalive(d.keepalive)
	return c, nil
}

func named(err error, t Target) error {
	var e *Error
	if errors.As(err, &e) && e.Host == "" {
		e.Host = t.Name
	}
	return err
}

// open makes the connection that SSH is talked on: through a jump host, by a
// ProxyCommand, or over TCP.
func open(ctx context.Context, t Target, through *Conn) (net.Conn, error) {
	switch {
	case through != nil:
		return through.client.DialContext(ctx, "tcp", t.Addr())
	case t.ProxyCommand != "":
		return startProxy(t)
	}
	dialer := net.Dialer{}
	network := t.Network
	if network == "" {
		network = "tcp"
	}
	if t.BindAddress != "" {
		local, err := net.ResolveTCPAddr(network, net.JoinHostPort(t.BindAddress, "0"))
		if err != nil {
			return nil, fmt.Errorf("BindAddress: %w", err)
		}
		dialer.LocalAddr = local
	}
	return dialer.DialContext(ctx, network, t.Addr())
}

// proxyError adds to an error what the ProxyCommand said, and that it ended
// when nothing else explains the error.
func proxyError(err error, proxy *proxyConn) error {
	var e *Error
	if !errors.As(err, &e) || e.Kind != Unreachable {
		return err
	}
	why, said := proxy.why()
	if why != "" {
		e.Message = fmt.Sprintf("%s can't be reached: %s", proxy.addr, why)
	}
	e.Detail = said
	e.Hint = "try its ProxyCommand by hand (`ssh -v " + proxy.host + "`); it may ask for nothing, since there is nobody to answer"
	return e
}

func unreachable(t Target, err error) *Error {
	e := &Error{Kind: Unreachable, Host: t.Name, Err: err, Message: fmt.Sprintf("%s can't be reached: %v", t.Addr(), err)}
	var dns *net.DNSError
	var channel *xssh.OpenChannelError
	switch {
	case errors.As(err, &dns):
		e.Hint = "the name is not known here; write the address, or correct HostName in ~/.ssh/config"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Hint = fmt.Sprintf("nothing listens on port %d there; is sshd running, and on this port?", t.Port)
	case errors.As(err, &channel):
		e.Hint = "the jump host could not connect to it; is the address right, seen from there, and AllowTcpForwarding on?"
	default:
		e.Hint = "is the host up, is its address right, and does a firewall let SSH through?"
	}
	return e
}

func handshakeError(ctx, limited context.Context, t Target, keys *keyring, check *check, err error) error {
	var negotiation *xssh.AlgorithmNegotiationError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case check.err != nil:
		return check.err
	case limited.Err() != nil:
		return &Error{Kind: Unreachable, Host: t.Name, Err: limited.Err(),
			Message: fmt.Sprintf("%s took the connection but did not finish the login within %s", t.Addr(), t.ConnectTimeout),
			Hint:    "is the host overloaded, or its sshd waiting for a name server (UseDNS)?"}
	case check.seen:
		return keys.refused(t, err)
	case errors.As(err, &negotiation) && negotiation.What == hostKeyNegotiation:
		if e := check.noCommonKey(); e != nil {
			return e
		}
	}
	if errors.As(err, &negotiation) {
		return &Error{Kind: Unreachable, Host: t.Name, Err: err,
			Message: fmt.Sprintf("%s and this program have no algorithm in common: %v", t.Addr(), err),
			Hint:    "look at Ciphers, MACs, KexAlgorithms and HostKeyAlgorithms, of your SSH configuration and of the host's sshd"}
	}
	return &Error{Kind: Unreachable, Host: t.Name, Err: err,
		Message: fmt.Sprintf("%s does not talk SSH as expected: %v", t.Addr(), err),
		Hint:    "is this sshd's port? Is the host still starting, or sshd refusing too many connections at once (MaxStartups)?"}
}

// watch notes the end of the connection.
func (c *Conn) watch() {
	err := c.client.Wait()
	c.fail(err)
	close(c.lost)
}

// fail keeps the first reason.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead == nil {
		if err == nil {
			err = errors.New("closed by the host")
		}
		c.dead = err
	}
}

// keepalive asks the host for a sign of life, and closes the connection when
// none has come for long, since TCP alone would take many minutes.
func (c *Conn) keepalive(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	answers := make(chan struct{}, 1)
	waiting, missed := false, 0
	for {
		select {
		case <-c.lost:
			return
		case <-answers:
			waiting, missed = false, 0
		case <-ticker.C:
			if waiting {
				if missed++; missed >= keepaliveMissed {
					c.fail(fmt.Errorf("no sign of life for %s", time.Duration(missed)*every))
					_ = c.client.Close() // it is dead anyway
					return
				}
				continue
			}
			waiting = true
			go func() {
				// The answer's content is of no interest, and an error ends the
				// connection, which lost tells.
				_, _, _ = c.client.SendRequest("keepalive@openssh.com", true, nil)
				answers <- struct{}{}
			}()
		}
	}
}

// Target tells where the connection goes.
func (c *Conn) Target() Target { return c.target }

// Lost is closed when the connection has ended.
func (c *Conn) Lost() <-chan struct{} { return c.lost }

// lostError is the error of a connection that ended while it was used.
func (c *Conn) lostError(doing string) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Error{Kind: Lost, Host: c.target.Name, Err: c.dead,
		Message: fmt.Sprintf("the connection was lost while %s: %v", doing, c.dead),
		Hint:    "when the host is back, run the same command again: it does what is left"}
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.fail(net.ErrClosed)
	err := c.client.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// DialContext connects to an address as seen from the host; for an apiserver's
// address in rest.Config.Dial.
func (c *Conn) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := c.client.DialContext(ctx, network, addr)
	var refused *xssh.OpenChannelError
	if errors.As(err, &refused) && refused.Reason == xssh.Prohibited {
		return nil, &Error{Kind: Config, Host: c.target.Name, Err: err,
			Message: fmt.Sprintf("sshd does not forward to %s: %v", addr, err),
			Hint:    "allow it for this user: AllowTcpForwarding yes in the host's sshd_config"}
	}
	return conn, err
}
