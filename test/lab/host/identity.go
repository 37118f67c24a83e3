package host

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/crypto/ssh"
)

// keyPair is an SSH key as files have it.
type keyPair struct {
	private, public []byte
}

// newKey makes an ed25519 key.
func newKey(comment string) (keyPair, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	block, err := ssh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return keyPair{}, err
	}
	public, err := ssh.NewPublicKey(pub)
	if err != nil {
		return keyPair{}, err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))) + " " + comment + "\n"
	return keyPair{private: pem.EncodeToMemory(block), public: []byte(line)}, nil
}

// ensureKey makes the key at path unless it is there, and returns its public half.
func ensureKey(path, comment string) (public []byte, err error) {
	public, err = os.ReadFile(path + ".pub")
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return public, err
	}
	k, err := newKey(comment)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, k.private, 0o600); err != nil {
		return nil, err
	}
	return k.public, os.WriteFile(path+".pub", k.public, 0o644)
}

// ensureIdentities makes the lab's login key and every host's own key, and the
// known_hosts file that has them.
func (l *Lab) ensureIdentities() error {
	if err := os.MkdirAll(l.path("hostkeys"), 0o700); err != nil {
		return err
	}
	if _, err := ensureKey(l.IdentityFile(), "lab-"+l.Name); err != nil {
		return err
	}
	var known strings.Builder
	for _, h := range l.Hosts {
		public, err := ensureKey(l.path("hostkeys/"+h.Name), "root@"+h.Name)
		if err != nil {
			return err
		}
		fields := strings.Fields(string(public))
		if len(fields) < 2 {
			return fmt.Errorf("%s.pub is not a public key", l.path("hostkeys/"+h.Name))
		}
		fmt.Fprintf(&known, "%s %s %s\n", h.Address, fields[0], fields[1])
	}
	return os.WriteFile(l.KnownHostsFile(), []byte(known.String()), 0o644)
}

// identityFile is a file that only one host has.
type identityFile struct {
	path     string
	content  []byte
	mode     int64
	uid, gid int
}

// identityTar is what makes a host itself, as a tar file to unpack at its root:
// host key, authorized keys, machine id, and a resolv.conf for pods (Docker's
// own names a loopback address, in which CoreDNS finds a loop).
func (l *Lab) identityTar(h Host) (*bytes.Buffer, error) {
	private, err := os.ReadFile(l.path("hostkeys/" + h.Name))
	if err != nil {
		return nil, err
	}
	public, err := os.ReadFile(l.path("hostkeys/" + h.Name + ".pub"))
	if err != nil {
		return nil, err
	}
	login, err := os.ReadFile(l.IdentityFile() + ".pub")
	if err != nil {
		return nil, err
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	files := []identityFile{
		{path: "etc/ssh/ssh_host_ed25519_key", content: private, mode: 0o600},
		{path: "etc/ssh/ssh_host_ed25519_key.pub", content: public, mode: 0o644},
		{path: "etc/machine-id", content: []byte(hex.EncodeToString(id) + "\n"), mode: 0o444},
		{path: "etc/resolv.lab", content: []byte("nameserver " + l.Gateway() + "\n"), mode: 0o644},
		{path: "root/.ssh/authorized_keys", content: login, mode: 0o600},
		{path: "home/ops/.ssh/authorized_keys", content: login, mode: 0o600, uid: 1000, gid: 1000},
		{path: "home/nosudo/.ssh/authorized_keys", content: login, mode: 0o600, uid: 1001, gid: 1001},
	}
	return packIdentity(files)
}

// packIdentity makes the tar file, with a private folder for each .ssh.
func packIdentity(files []identityFile) (*bytes.Buffer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		if dir := path.Dir(f.path); path.Base(dir) == ".ssh" {
			h := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o700, Uid: f.uid, Gid: f.gid}
			if err := w.WriteHeader(h); err != nil {
				return nil, err
			}
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Uid: f.uid, Gid: f.gid, Size: int64(len(f.content))}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	return &buf, w.Close()
}
