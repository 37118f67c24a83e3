package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// keyring is what a login can be tried with, and notes for the error when the
// host accepts none of it.
type keyring struct {
	signers []xssh.Signer
	// tried names the keys, notes say why some could not be used.
	tried []string
	notes []string
	agent io.Closer
	// certificates are the users' ones that were found, by the key they are of.
	certificates map[string][]certificate
	// used are the public keys that are among the signers.
	used map[string]bool
	// algorithms say which keys may be used.
	algorithms Algorithms
}

// close ends the talk with ssh-agent; its signers are of no use then.
func (k *keyring) close() {
	if k.agent != nil {
		_ = k.agent.Close() // nothing was written that could be lost
	}
}

// loadKeys collects the keys for a target: the key files first, in their
// order, then ssh-agent's others, since a host gives up after a few tries. Each
// key's certificate comes before the key itself. A key with a passphrase is
// used by way of ssh-agent, or not at all: nobody is asked. A key that can't be
// used is passed over, and is an error only when the user named it in the
// Cluster file and there is no other.
func loadKeys(t Target) (*keyring, error) {
	k := &keyring{certificates: map[string][]certificate{}, used: map[string]bool{}, algorithms: t.Algorithms}
	for _, path := range t.Certificates {
		k.addCertificate(path, true)
	}
	held := k.agentKeys(t)
	var named *Error
	for _, id := range t.Identities {
		k.addCertificate(id.Path+"-cert.pub", false)
		if err := k.addFile(id, held); err != nil && named == nil {
			named = err
		}
	}
	if !t.IdentitiesOnly {
		for _, s := range held {
			k.add(s, "a key of ssh-agent")
		}
	}
	if named != nil && len(k.signers) == 0 {
		k.close()
		return nil, named
	}
	return k, nil
}

// add takes a key, once, after its certificates.
func (k *keyring) add(s xssh.Signer, what string) {
	blob := string(s.PublicKey().Marshal())
	if k.used[blob] {
		return
	}
	k.used[blob] = true
	for _, c := range k.certificates[blob] {
		key, why := k.algorithms.userKey(s, true)
		var with xssh.Signer
		if why == "" {
			var err error
			if with, err = xssh.NewCertSigner(c.cert, key); err != nil {
				why = err.Error()
			}
		}
		if why != "" {
			k.notes = append(k.notes, fmt.Sprintf("the certificate %s can't be used: %s", c.path, why))
			continue
		}
		k.offer(with, "the certificate "+c.path)
	}
	key, why := k.algorithms.userKey(s, false)
	if why != "" {
		k.notes = append(k.notes, fmt.Sprintf("%s is not used: %s", what, why))
		return
	}
	k.offer(key, what)
}

func (k *keyring) offer(s xssh.Signer, what string) {
	k.signers = append(k.signers, s)
	k.tried = append(k.tried, fmt.Sprintf("%s (%s)", what, xssh.FingerprintSHA256(s.PublicKey())))
}

func (k *keyring) agentKeys(t Target) []xssh.Signer {
	if t.AgentSocket == "" {
		return nil
	}
	conn, err := dialAgent(t.AgentSocket)
	if err != nil {
		k.notes = append(k.notes, fmt.Sprintf("ssh-agent does not answer: %v", err))
		return nil
	}
	k.agent = conn
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		k.notes = append(k.notes, fmt.Sprintf("ssh-agent does not list its keys: %v", err))
	}
	return signers
}

// addFile takes the key of a file, or the same key of ssh-agent. When it can't
// be used it says so in a note, or in an error when the user named it.
func (k *keyring) addFile(id Identity, held []xssh.Signer) *Error {
	data, err := os.ReadFile(id.Path)
	if err == nil {
		var signer xssh.Signer
		if signer, err = xssh.ParsePrivateKey(data); err == nil {
			k.add(signer, id.Path)
			return nil
		}
	}
	public := publicHalf(id.Path, err)
	for _, s := range held {
		if public != nil && bytes.Equal(s.PublicKey().Marshal(), public.Marshal()) {
			k.add(s, id.Path+" by ssh-agent")
			return nil
		}
	}
	var locked *xssh.PassphraseMissingError
	e := &Error{Kind: Config, Err: err, Message: fmt.Sprintf("the key %s can't be used: %v", id.Path, err),
		Hint: "is it a private key? With a passphrase: run `ssh-add " + id.Path + "`, with ssh-agent running"}
	switch {
	case errors.Is(err, fs.ErrNotExist) && !id.Required:
		return nil
	case errors.As(err, &locked):
		k.notes = append(k.notes, fmt.Sprintf("%s has a passphrase and is not in ssh-agent; run `ssh-add %s` first", id.Path, id.Path))
		return nil
	case data == nil:
		e.Message, e.Hint = fmt.Sprintf("the key %s can't be read: %v", id.Path, err), "correct ssh.identityFile"
	}
	k.notes = append(k.notes, e.Message)
	if !id.Required {
		return nil
	}
	return e
}

// publicHalf is the public key of a private one that could not be read or
// parsed: it has a passphrase, is not there, or is only a public key, whose
// private half is in ssh-agent, on a token. It is nil when there is none.
func publicHalf(path string, parseErr error) xssh.PublicKey {
	var locked *xssh.PassphraseMissingError
	if errors.As(parseErr, &locked) && locked.PublicKey != nil {
		return locked.PublicKey
	}
	for _, p := range []string{path, path + ".pub"} {
		data, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		if key, _, _, _, err := xssh.ParseAuthorizedKey(data); err == nil {
			return key
		}
	}
	return nil
}

// refused is the error when the host took none of the keys.
func (k *keyring) refused(t Target, cause error) *Error {
	e := &Error{Kind: LoginRefused, Host: t.Name, Err: cause}
	e.Message = fmt.Sprintf("%s refused the login of %s; tried: %s", t.Addr(), t.User, strings.Join(k.tried, ", "))
	e.Hint = fmt.Sprintf("set ssh.user and ssh.identityFile, or put the public key into ~%s/.ssh/authorized_keys there; try `ssh -p %d %s@%s`",
		t.User, t.Port, t.User, t.Host)
	if len(k.tried) == 0 {
		e.Message = fmt.Sprintf("there is no key to log in with as %s on %s", t.User, t.Addr())
		e.Hint = "set ssh.identityFile, or start ssh-agent and run ssh-add"
	}
	e.Detail = strings.Join(k.notes, "\n")
	if len(k.notes) > 0 {
		e.Hint = strings.Join(k.notes, "; ") + "; else " + e.Hint
	}
	return e
}
