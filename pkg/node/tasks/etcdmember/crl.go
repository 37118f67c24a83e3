package etcdmember

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/flagtable"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// crlFlags name files with lists of revoked certificates. etcd reads such a file at each
// handshake, and takes no connection at all while it can't.
var crlFlags = []string{"client-crl-file", "peer-crl-file"}

var toldVersion = regexp.MustCompile(`etcd Version: (\S+)`)

// checkRevocation judges the lists of revoked certificates that the settings name, by
// what this host's etcd says of its version.
func (s Spec) checkRevocation(h *host.Host, told string) error {
	minor := ""
	if m := toldVersion.FindStringSubmatch(told); m != nil {
		minor = flagtable.Minor(m[1])
	}
	for _, flag := range crlFlags {
		file := s.Args[flag]
		if file == "" {
			continue
		}
		if err := checkCRL(h, file, minor); err != nil {
			return host.WithHint(fmt.Errorf("spec.etcd.extraArgs: %s: etcd would take no connection with %w", flag, err),
				"put the list there on every member, readable for the user etcd, in DER: openssl crl -in LIST.pem -outform DER -out "+file+"; nothing of etcd was changed")
		}
	}
	return nil
}

func checkCRL(h *host.Host, file, minor string) error {
	if !path.IsAbs(file) {
		return fmt.Errorf("%s, which is no absolute path", file)
	}
	data, err := h.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s, which is not there", file)
	}
	if err != nil {
		return err
	}
	// etcd is a user of its own, who need not be there yet: all have to be able to read it.
	for at, bit := file, fs.FileMode(0o004); at != "/"; at, bit = path.Dir(at), 0o001 {
		info, err := os.Stat(h.Path(at)) // What a link leads to counts.
		if err != nil {
			return err
		}
		if info.Mode().Perm()&bit == 0 {
			return fmt.Errorf("%s, since %s has the mode %04o", file, at, info.Mode().Perm())
		}
	}
	block, _ := pem.Decode(data)
	if block != nil && strings.HasSuffix(block.Type, "CRL") {
		if minor != "3.5" {
			return fmt.Errorf("%s, which is PEM", file)
		}
		data = block.Bytes // 3.5 takes both.
	}
	if _, err := x509.ParseRevocationList(data); err != nil {
		return fmt.Errorf("%s, which is no list of revoked certificates: %w", file, err)
	}
	return nil
}
