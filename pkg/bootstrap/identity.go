package bootstrap

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
)

// identityFile has what a cluster with stacked etcd is known by (ADR 44). kubeadm makes its etcd CA on the
// first host, so that this can't be that CA's fingerprint: it has to be known before any host is touched.
const identityFile = "identity"

var identitySyntax = regexp.MustCompile(`^[0-9a-f]{64}$`)

// stackedIdentity is what a state directory says; empty when there is nothing. The fingerprint of an etcd CA
// goes first: the directory may be that of a cluster which was made with external etcd before.
func stackedIdentity(a authority, dir string) (string, error) {
	if a.first != "" {
		return a.first, nil
	}
	file := filepath.Join(dir, identityFile)
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("what the cluster is known by: %w", err)
	}
	text := strings.TrimSpace(string(raw))
	if !identitySyntax.MatchString(text) {
		return "", fmt.Errorf("what the cluster is known by: %s has not 64 hexadecimal digits\nnext: put the file back from a backup of this directory", file)
	}
	return text, nil
}

// makeIdentity is makeAuthority for stacked etcd: no CA is made on this machine, and the user's own is put on
// the hosts alone. What the cluster is known by is on the disk before the first host is touched.
func makeIdentity(ctx context.Context, dir, cluster string, _ OwnCAs) (authority, error) {
	a, err := openAuthority(ctx, dir, cluster)
	if err != nil {
		return a, err
	}
	out := authority{cluster: cluster}
	if out.first, err = stackedIdentity(a, dir); err != nil || out.first != "" {
		return out, err
	}
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return out, fmt.Errorf("make what the cluster is known by: %w", err)
	}
	out.first = hex.EncodeToString(random)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return out, fmt.Errorf("make the cluster's state directory: %w", err)
	}
	if err := localfile.Write(filepath.Join(dir, identityFile), []byte(out.first+"\n"), 0o600); err != nil {
		return out, fmt.Errorf("note what the cluster is known by: %w", err)
	}
	return out, nil
}
