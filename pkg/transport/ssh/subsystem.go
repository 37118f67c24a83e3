package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	xssh "golang.org/x/crypto/ssh"
)

// PlainLogin is a login to a server that is no host of a cluster: all that counts is here, and
// nobody's SSH configuration is read.
type PlainLogin struct {
	User string
	// PrivateKey is one without a passphrase, as ssh-keygen writes it; Password is instead of it,
	// or beside it. They are secrets.
	PrivateKey []byte
	Password   string
	// HostKeys are the server's: lines of a known_hosts file, all for this server, whatever name
	// stands before them. Required.
	HostKeys []byte
}

// Subsystem is a subsystem of a server's, such as sftp.
type Subsystem struct {
	Stdin  io.WriteCloser
	Stdout io.Reader
	client *xssh.Client
}

// Close ends the connection.
func (s *Subsystem) Close() error {
	if err := s.client.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// OpenSubsystem logs in by way of a connection, which it owns from then on, and starts a
// subsystem. The context bounds the login.
func OpenSubsystem(ctx context.Context, conn net.Conn, login PlainLogin, name string) (*Subsystem, error) {
	config, err := login.config()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // the handshake says so
	defer stop()
	c, channels, requests, err := xssh.NewClientConn(conn, conn.RemoteAddr().String(), config)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		_ = conn.Close() // the error above says it all
		return nil, err
	}
	s := &Subsystem{client: xssh.NewClient(c, channels, requests)}
	session, err := s.client.NewSession()
	if err == nil {
		s.Stdin, err = session.StdinPipe()
	}
	if err == nil {
		s.Stdout, err = session.StdoutPipe()
	}
	if err == nil {
		err = session.RequestSubsystem(name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the server does not start its subsystem %s: %w", name, err), s.Close())
	}
	return s, nil
}

func (l PlainLogin) config() (*xssh.ClientConfig, error) {
	c := &xssh.ClientConfig{User: l.User}
	if len(l.PrivateKey) > 0 {
		key, err := xssh.ParsePrivateKey(l.PrivateKey)
		if err != nil {
			// The error says nothing of the key itself.
			return nil, fmt.Errorf("the private key for %s can't be used: %w", l.User, err)
		}
		c.Auth = append(c.Auth, xssh.PublicKeys(key))
	}
	if l.Password != "" {
		c.Auth = append(c.Auth, xssh.Password(l.Password))
	}
	if len(c.Auth) == 0 {
		return nil, errors.New("there is neither a private key nor a password")
	}
	var keys []xssh.PublicKey
	for rest := l.HostKeys; ; {
		marker, _, key, _, after, err := xssh.ParseKnownHosts(rest)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the server's host keys: %w", err)
		}
		rest = after
		if marker == "" {
			keys = append(keys, key)
			c.HostKeyAlgorithms = append(c.HostKeyAlgorithms, signaturesOf(key.Type())...)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no host key to know the server by; ssh-keyscan prints them: compare them before you trust them")
	}
	c.HostKeyCallback = func(_ string, _ net.Addr, key xssh.PublicKey) error {
		if slices.ContainsFunc(keys, func(k xssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) }) {
			return nil
		}
		return fmt.Errorf("the server has the host key %s, which is none that it is known by", xssh.FingerprintSHA256(key))
	}
	return c, nil
}

// signaturesOf are the algorithms by which a kind of host key signs.
func signaturesOf(kind string) []string {
	if kind == xssh.KeyAlgoRSA {
		return []string{xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}
