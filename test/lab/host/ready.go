package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sync/errgroup"
)

// readyDeadline is how long hosts may take to boot; many of them on two cores
// take their time.
const readyDeadline = 120 * time.Second

// waitReady waits until every one of these hosts lets root and ops log in, and
// until the mirror answers.
func (l *Lab) waitReady(ctx context.Context, hosts []Host) error {
	ctx, cancel := context.WithTimeout(ctx, readyDeadline)
	defer cancel()
	key, err := os.ReadFile(l.IdentityFile())
	if err != nil {
		return err
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return err
	}
	check, err := knownhosts.New(l.KnownHostsFile())
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, h := range hosts {
		g.Go(func() error {
			return poll(gctx, "log in to "+h.Name+" at "+h.Address, func(ctx context.Context) error {
				return errors.Join(login(ctx, h.Address, "root", signer, check), login(ctx, h.Address, "ops", signer, check))
			})
		})
	}
	g.Go(func() error { return poll(gctx, "the mirror at "+l.MirrorURL(), l.mirrorAnswers) })
	return g.Wait()
}

// poll repeats try until it succeeds or ctx ends, then says what failed last.
func poll(ctx context.Context, what string, try func(context.Context) error) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w, last: %w", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// login logs in over SSH and runs the shortest command that there is.
func login(ctx context.Context, address, user string, key ssh.Signer, check ssh.HostKeyCallback) error {
	d := net.Dialer{Timeout: 2 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(address, "22"))
	if err != nil {
		return err
	}
	config := &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: check}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return errors.Join(err, conn.Close())
	}
	c, channels, requests, err := ssh.NewClientConn(conn, net.JoinHostPort(address, "22"), config)
	if err != nil {
		return errors.Join(fmt.Errorf("as %s: %w", user, err), conn.Close())
	}
	client := ssh.NewClient(c, channels, requests)
	session, err := client.NewSession()
	if err != nil {
		return errors.Join(fmt.Errorf("as %s: %w", user, err), client.Close())
	}
	if err := session.Run("true"); err != nil {
		return errors.Join(fmt.Errorf("as %s: %w", user, err), client.Close())
	}
	return client.Close()
}

// mirrorAnswers asks the mirror for its newest Kubernetes version and its registry.
func (l *Lab) mirrorAnswers(ctx context.Context) error {
	for _, path := range []string{"/dl.k8s.io/release/stable.txt", "/v2/"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.MirrorURL()+path, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s%s: %s", l.MirrorURL(), path, resp.Status)
		}
	}
	return nil
}
