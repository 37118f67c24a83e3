package ssh

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	xssh "golang.org/x/crypto/ssh"
)

// Markers of lines in known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
const (
	markerAuthority = "cert-authority"
	markerRevoked   = "revoked"
)

// knownKey is one line of a known_hosts file.
type knownKey struct {
	file     string
	line     int
	marker   string
	patterns []string
	key      xssh.PublicKey
}

// knownHosts are the lines of all known_hosts files. The library's own reader
// refuses a file for one line that it does not understand, and picks host
// certificates for every host when there is an authority for one.
type knownHosts struct {
	keys []knownKey
	// unread are the lines ("file:line") that could not be read.
	unread []string
	// problems are files that could not be read.
	problems []string
}

// readKnownHosts reads the files that are there. Lines that can't be read are
// passed over, as OpenSSH does: each is another key that is not trusted.
func readKnownHosts(paths []string) knownHosts {
	var out knownHosts
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			out.problems = append(out.problems, err.Error())
			continue
		}
		for i, line := range bytes.Split(data, []byte("\n")) {
			line = bytes.TrimSpace(line)
			if len(line) == 0 || line[0] == '#' {
				continue
			}
			marker, hosts, key, _, _, err := xssh.ParseKnownHosts(line)
			if err != nil || marker != "" && marker != markerAuthority && marker != markerRevoked {
				out.unread = append(out.unread, fmt.Sprintf("%s:%d", path, i+1))
				continue
			}
			out.keys = append(out.keys, knownKey{path, i + 1, marker, hosts, key})
		}
	}
	return out
}

// of are the lines with a marker that are about a host, named as in
// known_hosts: [host]:port where the port is not 22.
func (k knownHosts) of(marker, host string) []knownKey {
	var out []knownKey
	for _, known := range k.keys {
		if known.marker == marker && known.about(host) {
			out = append(out, known)
		}
	}
	return out
}

// about tells whether the line names the host: by patterns, of which a negated
// one excludes it, or by a hash.
func (k knownKey) about(host string) bool {
	host = strings.ToLower(host)
	if len(k.patterns) == 1 && strings.HasPrefix(k.patterns[0], "|") {
		return hashMatches(k.patterns[0], host)
	}
	return matchList(lower(k.patterns), host)
}

// hashMatches compares with a name hashed by HashKnownHosts: |1|SALT|HASH, the
// HMAC-SHA1 of the name with the salt as its key, both in base64.
func hashMatches(hashed, host string) bool {
	fields := strings.Split(hashed, "|")
	if len(fields) != 4 || fields[1] != "1" {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(fields[2])
	want, err2 := base64.StdEncoding.DecodeString(fields[3])
	if err != nil || err2 != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(host))
	return hmac.Equal(mac.Sum(nil), want)
}

// has tells whether a key is among the lines.
func has(lines []knownKey, key xssh.PublicKey) bool {
	for _, known := range lines {
		if sameKey(known.key, key) {
			return true
		}
	}
	return false
}

func sameKey(a, b xssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// revoked tells whether a key is revoked, by a line of known_hosts: the key, or
// that which a certificate is of or is signed by. Which hosts the line names
// does not matter, since such a key must never be accepted (sshd(8)).
func (k knownHosts) revoked(key xssh.PublicKey) (where string, yes bool) {
	keys := []xssh.PublicKey{key}
	if cert, ok := key.(*xssh.Certificate); ok {
		keys = append(keys, cert.Key, cert.SignatureKey)
	}
	for _, known := range k.keys {
		if known.marker == markerRevoked {
			for _, each := range keys {
				if sameKey(known.key, each) {
					return fmt.Sprintf("%s:%d", known.file, known.line), true
				}
			}
		}
	}
	return "", false
}

// addRevoked reads a file of revoked keys (RevokedHostKeys), one a line. A key
// revocation list, OpenSSH's binary form, is not understood here, and no host
// is trusted without it.
func (k *knownHosts) addRevoked(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(data, []byte("SSHKRL\n\x00")) {
		return fmt.Errorf("%s is a key revocation list, which is not supported; name a file of public keys", path)
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, _, _, _, err := xssh.ParseAuthorizedKey(line)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		k.keys = append(k.keys, knownKey{path, i + 1, markerRevoked, nil, key})
	}
	return nil
}
