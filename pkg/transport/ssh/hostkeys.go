package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// HostKeyPolicy says what to do with the key of a host that is not in known_hosts.
type HostKeyPolicy string

// The policies. A key that differs from the known one is refused by both.
const (
	// Strict refuses it. The default.
	Strict HostKeyPolicy = "strict"
	// AcceptNew takes it, and writes it into known_hosts.
	AcceptNew HostKeyPolicy = "accept-new"
)

// hostKeys checks the keys of hosts; one for all of a Dialer's connections,
// since they may add to the same file.
type hostKeys struct {
	policy HostKeyPolicy
	mu     sync.Mutex
}

// check is one host's: its callback keeps why it refused, since that is the
// caller's error, whatever the handshake makes of it.
type check struct {
	target     Target
	keys       *hostKeys
	known      xssh.HostKeyCallback
	algorithms []string
	// seen: the host has shown a key and it was accepted.
	seen bool
	err  *Error
}

// forTarget reads the known_hosts files.
func (h *hostKeys) forTarget(t Target) (*check, error) {
	c := &check{target: t, keys: h}
	files, authority, err := existing(t.KnownHosts)
	if err == nil {
		c.known, err = knownhosts.New(files...)
	}
	if err != nil {
		return nil, &Error{Kind: Config, Host: t.Name, Message: fmt.Sprintf("known_hosts can't be read: %v", err), Err: err,
			Hint: "correct the named line"}
	}
	c.algorithms = c.knownAlgorithms(authority)
	return c, nil
}

// existing leaves out files that aren't there, and tells whether one has a
// @cert-authority line.
func existing(paths []string) (files []string, authority bool, err error) {
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		files = append(files, p)
		authority = authority || bytes.Contains(data, []byte("@cert-authority"))
	}
	return files, authority, nil
}

// address is what is looked up in known_hosts.
func (c *check) address() string {
	if c.target.HostKeyAlias != "" {
		return net.JoinHostPort(c.target.HostKeyAlias, "22")
	}
	return c.target.Addr()
}

// noKey matches no known key; asking for it lists those that are known.
type noKey struct{}

func (noKey) Type() string                         { return "none" }
func (noKey) Marshal() []byte                      { return []byte("none") }
func (noKey) Verify([]byte, *xssh.Signature) error { return errors.New("no key") }

// knownAlgorithms are those of the keys that known_hosts has of the host, so
// that it shows one of these and not another of its keys, which would be
// unknown. Nil, meaning all, when there are none.
func (c *check) knownAlgorithms(authority bool) []string {
	var keyErr *knownhosts.KeyError
	if !errors.As(c.known(c.address(), tcpAddr(c.target), noKey{}), &keyErr) || len(keyErr.Want) == 0 {
		return nil
	}
	var out []string
	if authority {
		out = append(out, xssh.CertAlgoED25519v01, xssh.CertAlgoECDSA256v01, xssh.CertAlgoECDSA384v01, xssh.CertAlgoECDSA521v01,
			xssh.CertAlgoRSASHA512v01, xssh.CertAlgoRSASHA256v01)
	}
	for _, k := range keyErr.Want {
		if t := k.Key.Type(); t == xssh.KeyAlgoRSA {
			out = append(out, xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256)
		} else {
			out = append(out, t)
		}
	}
	return out
}

// tcpAddr stands for the peer's address, which is of no interest: host keys
// are looked up by what the user wrote.
func tcpAddr(t Target) net.Addr {
	return &net.TCPAddr{IP: net.IPv4zero, Port: t.Port}
}

// callback is for xssh.ClientConfig.
func (c *check) callback(_ string, _ net.Addr, key xssh.PublicKey) error {
	err := c.known(c.address(), tcpAddr(c.target), key)
	if err == nil {
		c.seen = true
		return nil
	}
	var keyErr *knownhosts.KeyError
	switch {
	case errors.As(err, &keyErr) && len(keyErr.Want) == 0 && c.keys.policy == AcceptNew:
		if err := c.keys.accept(c.target, c.address(), key); err != nil {
			c.err = &Error{Kind: Config, Host: c.target.Name, Message: fmt.Sprintf("the host's key can't be added to known_hosts: %v", err), Err: err}
			return c.err
		}
		c.seen = true
		return nil
	case errors.As(err, &keyErr) && len(keyErr.Want) == 0:
		c.err = c.unknown(key)
	case errors.As(err, &keyErr):
		c.err = c.changed(keyErr.Want, xssh.FingerprintSHA256(key)+" ("+key.Type()+")")
	default:
		c.err = &Error{Kind: HostKeyChanged, Host: c.target.Name, Err: err,
			Message: fmt.Sprintf("the key of %s is refused: %v", c.target.Addr(), err),
			Hint:    "the key or its certificate is revoked or of an unknown authority; ask who runs the host"}
	}
	return c.err
}

func (c *check) unknown(key xssh.PublicKey) *Error {
	t := c.target
	scan := fmt.Sprintf("ssh-keyscan -t %s -p %d %s >> %s", keyscanType(key), t.Port, t.Host, t.newKeysFile())
	if len(t.Jump) > 0 || t.HostKeyAlias != "" {
		scan = fmt.Sprintf("ssh -p %d %s@%s, which asks", t.Port, t.User, t.Host)
		if len(t.Jump) > 0 {
			scan = fmt.Sprintf("ssh -J %s -p %d %s@%s, which asks", t.Jump[len(t.Jump)-1], t.Port, t.User, t.Host)
		}
	}
	return &Error{Kind: HostKeyUnknown, Host: t.Name,
		Message: fmt.Sprintf("the host key of %s is not known; it shows %s (%s)", t.Addr(), xssh.FingerprintSHA256(key), key.Type()),
		Hint: fmt.Sprintf("compare it with `ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub` on the host, then run `%s`; "+
			"or trust every new host once with --ssh-host-key accept-new", keyscanType(key), scan)}
}

// newKeysFile is the file that new keys are written to.
func (t Target) newKeysFile() string {
	if len(t.KnownHosts) == 0 {
		return ""
	}
	return t.KnownHosts[0]
}

func keyscanType(key xssh.PublicKey) string {
	switch t := key.Type(); {
	case strings.HasPrefix(t, "ecdsa-"):
		return "ecdsa"
	case t == xssh.KeyAlgoRSA:
		return "rsa"
	default:
		return strings.TrimPrefix(t, "ssh-")
	}
}

func (c *check) changed(want []knownhosts.KnownKey, shows string) *Error {
	t := c.target
	var places []string
	for _, w := range want {
		places = append(places, fmt.Sprintf("%s:%d has %s (%s)", w.Filename, w.Line, xssh.FingerprintSHA256(w.Key), w.Key.Type()))
	}
	name := knownhosts.Normalize(c.address())
	return &Error{Kind: HostKeyChanged, Host: t.Name,
		Message: fmt.Sprintf("THE HOST KEY OF %s HAS CHANGED: it shows %s, but %s", t.Addr(), shows, strings.Join(places, ", ")),
		Hint: fmt.Sprintf("somebody may be listening in. Only when you know that the host was installed anew: "+
			"ssh-keygen -R %s -f %s, then add its new key", quoteWord(name), want[0].Filename)}
}

// noCommonKey is the error when the host has no key of the known types.
func (c *check) noCommonKey() *Error {
	var keyErr *knownhosts.KeyError
	if errors.As(c.known(c.address(), tcpAddr(c.target), noKey{}), &keyErr) && len(keyErr.Want) > 0 {
		return c.changed(keyErr.Want, "no key of that type any more")
	}
	return nil
}

// accept appends a host's key to the target's first known_hosts file, by one
// write, so that nobody sees half a line.
func (h *hostKeys) accept(t Target, address string, key xssh.PublicKey) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	path := t.newKeysFile()
	if path == "" {
		return errors.New("there is no known_hosts file to write to")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	line := knownhosts.Line([]string{knownhosts.Normalize(address)}, key) + "\n"
	if data, err := os.ReadFile(path); err == nil && len(data) > 0 && data[len(data)-1] != '\n' {
		line = "\n" + line
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
