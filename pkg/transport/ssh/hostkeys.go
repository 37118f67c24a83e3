package ssh

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	warned map[string]bool
}

// check is one host's: its callback keeps why it refused, since that is the
// caller's error, whatever the handshake makes of it.
type check struct {
	target Target
	keys   *hostKeys
	known  knownHosts
	// name is what the host is called in known_hosts.
	name       string
	algorithms []string
	// seen: the host has shown a key and it was accepted.
	seen bool
	err  *Error
}

// forTarget reads the known_hosts files. What can't be read of them is told
// once, by warn.
func (h *hostKeys) forTarget(t Target, warn func(string)) (*check, error) {
	c := &check{target: t, keys: h, known: readKnownHosts(t.KnownHosts), name: knownhosts.Normalize(t.Addr())}
	if t.HostKeyAlias != "" {
		c.name = t.HostKeyAlias
	}
	if t.RevokedHostKeys != "" {
		if err := c.known.addRevoked(t.RevokedHostKeys); err != nil {
			return nil, &Error{Kind: Config, Host: t.Name, Message: fmt.Sprintf("the revoked host keys can't be read: %v", err), Err: err,
				Hint: "correct RevokedHostKeys in ~/.ssh/config"}
		}
	}
	for _, p := range c.known.problems {
		h.warnOnce(warn, "known_hosts: "+p)
	}
	if n := len(c.known.unread); n > 0 {
		h.warnOnce(warn, fmt.Sprintf("known_hosts: what can't be read is passed over: %s", strings.Join(c.known.unread, ", ")))
	}
	c.algorithms = t.Algorithms.hostKeys(c.knownAlgorithms())
	return c, nil
}

func (h *hostKeys) warnOnce(warn func(string), message string) {
	h.mu.Lock()
	first := !h.warned[message]
	if h.warned == nil {
		h.warned = map[string]bool{}
	}
	h.warned[message] = true
	h.mu.Unlock()
	if first && warn != nil {
		warn(message)
	}
}

// plain are the host's known keys. A key that is known without a port counts on
// every port where none is known with it, as OpenSSH has it.
func (c *check) plain() []knownKey {
	if keys := c.known.of("", c.name); len(keys) > 0 {
		return keys
	}
	return c.portless()
}

// portless are the keys that are known of the host without its port; none when
// that is the name which is looked up anyway.
func (c *check) portless() []knownKey {
	if c.target.HostKeyAlias != "" || c.target.Port == 22 {
		return nil
	}
	return c.known.of("", c.target.Host)
}

// knownAlgorithms are those of the keys that known_hosts has of the host, so
// that it shows one of these and not another of its keys, which would be
// unknown; and certificates before them when it has an authority for the host.
// Nil, meaning all, when no key is known.
func (c *check) knownAlgorithms() []string {
	keys := c.plain()
	if len(keys) == 0 {
		return nil
	}
	var out []string
	if len(c.authorities()) > 0 {
		out = append(out, xssh.CertAlgoED25519v01, xssh.CertAlgoECDSA256v01, xssh.CertAlgoECDSA384v01, xssh.CertAlgoECDSA521v01,
			xssh.CertAlgoRSASHA512v01, xssh.CertAlgoRSASHA256v01)
	}
	for _, k := range keys {
		algorithms := []string{k.key.Type()}
		if k.key.Type() == xssh.KeyAlgoRSA {
			algorithms = []string{xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256}
		}
		for _, a := range algorithms {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// authorities are the keys that may sign certificates of the host.
func (c *check) authorities() []knownKey {
	keys := c.known.of(markerAuthority, c.name)
	if len(keys) == 0 && c.target.HostKeyAlias == "" && c.target.Port != 22 {
		keys = c.known.of(markerAuthority, c.target.Host)
	}
	return keys
}

// certificateFits tells whether a host's certificate is signed by an authority
// for the host, is valid now, and names the host, without its port and not by a
// pattern; one that names none is for every host (ssh-keygen(1)).
func (c *check) certificateFits(cert *xssh.Certificate) bool {
	if cert.CertType != xssh.HostCert || !has(c.authorities(), cert.SignatureKey) {
		return false
	}
	may := c.target.Algorithms.CASignatures
	if len(may) == 0 {
		may = algorithmLists()["casignaturealgorithms"].usual // without RSA with SHA-1
	}
	if cert.Signature == nil || !slices.Contains(may, cert.Signature.Format) || c.target.Algorithms.tooShort(cert.SignatureKey) != "" {
		return false
	}
	principal := strings.ToLower(first(c.target.HostKeyAlias, c.target.Host))
	return new(xssh.CertChecker).CheckCert(principal, cert) == nil
}

// callback is for xssh.ClientConfig. A certificate that is of no authority for
// this host is worth as much as the plain key in it, as OpenSSH has it.
func (c *check) callback(_ string, _ net.Addr, key xssh.PublicKey) error {
	if where, yes := c.known.revoked(key); yes {
		c.err = &Error{Kind: HostKeyChanged, Host: c.target.Name,
			Message: fmt.Sprintf("the key of %s, %s, is revoked (%s)", c.target.Addr(), xssh.FingerprintSHA256(key), where),
			Hint:    "somebody else may have it; ask who runs the host"}
		return c.err
	}
	if why := c.target.Algorithms.tooShort(key); why != "" {
		c.err = &Error{Kind: Config, Host: c.target.Name, Message: fmt.Sprintf("the key of %s, %s, is not taken: %s", c.target.Addr(), xssh.FingerprintSHA256(key), why),
			Hint: "give the host a longer key, or one of another type: ssh-keygen -A makes those that are missing"}
		return c.err
	}
	if cert, ok := key.(*xssh.Certificate); ok {
		if c.certificateFits(cert) {
			c.seen = true
			return nil
		}
		key = cert.Key
	}
	here := c.known.of("", c.name)
	switch {
	case has(here, key), len(here) == 0 && has(c.portless(), key):
		c.seen = true
		return nil
	case len(here) > 0:
		c.err = c.changed(here, xssh.FingerprintSHA256(key)+" ("+key.Type()+")")
	case c.keys.policy != AcceptNew:
		c.err = c.unknown(key)
	default:
		if err := c.keys.accept(c.target, c.name, key); err != nil {
			c.err = &Error{Kind: Config, Host: c.target.Name, Message: fmt.Sprintf("the host's key can't be added to known_hosts: %v", err), Err: err}
			return c.err
		}
		c.seen = true
		return nil
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
	return &Error{Kind: HostKeyUnknown, Host: t.Name, Detail: c.unreadDetail(),
		Message: fmt.Sprintf("the host key of %s is not known; it shows %s (%s)", t.Addr(), xssh.FingerprintSHA256(key), key.Type()),
		Hint: fmt.Sprintf("compare it with `ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub` on the host, then run `%s`; "+
			"or trust every new host once with --ssh-host-key accept-new", keyscanType(key), scan)}
}

// unreadDetail names the lines of known_hosts of which nobody knows what host
// they are about.
func (c *check) unreadDetail() string {
	if len(c.known.unread) == 0 {
		return ""
	}
	return "can't be read: " + strings.Join(c.known.unread, ", ")
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

func (c *check) changed(want []knownKey, shows string) *Error {
	t := c.target
	var places []string
	for _, w := range want {
		places = append(places, fmt.Sprintf("%s:%d has %s (%s)", w.file, w.line, xssh.FingerprintSHA256(w.key), w.key.Type()))
	}
	return &Error{Kind: HostKeyChanged, Host: t.Name,
		Message: fmt.Sprintf("THE HOST KEY OF %s HAS CHANGED: it shows %s, but %s", t.Addr(), shows, strings.Join(places, ", ")),
		Hint: fmt.Sprintf("somebody may be listening in. Only when you know that the host was installed anew: "+
			"ssh-keygen -R %s -f %s, then add its new key", quoteWord(c.name), want[0].file)}
}

// noCommonKey is the error when the host has no key of the known types.
func (c *check) noCommonKey() *Error {
	if keys := c.plain(); len(keys) > 0 {
		return c.changed(keys, "no key of that type any more")
	}
	return nil
}

// accept appends a host's key to the target's first known_hosts file, by one
// write, so that nobody sees half a line.
func (h *hostKeys) accept(t Target, name string, key xssh.PublicKey) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	path := t.newKeysFile()
	if path == "" {
		return errors.New("there is no known_hosts file to write to")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if t.HashKnownHosts {
		name = knownhosts.HashHostname(name)
	}
	line := knownhosts.Line([]string{name}, key) + "\n"
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
