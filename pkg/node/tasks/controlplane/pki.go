package controlplane

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// pair is two files that belong together and that kubeadm writes one after the
// other, the private one first.
type pair struct {
	name string
	// private and public are the files' extensions.
	private, public string
	// signer is the authority whose name a certificate carries.
	signer string
}

func (p pair) first() string  { return pkiDir + "/" + p.name + p.private }
func (p pair) second() string { return pkiDir + "/" + p.name + p.public }

var serviceAccount = pair{"sa", ".key", ".pub", ""}

// authorities are the CAs that kubeadm makes. With an external etcd that one's is not its.
func authorities(stacked bool) []pair {
	out := []pair{{"ca", ".key", ".crt", ""}, {"front-proxy-ca", ".key", ".crt", ""}}
	if stacked {
		out = append(out, pair{etcdAuthority, ".key", ".crt", ""})
	}
	return out
}

// leaves are what those sign. With an external etcd the client for that is ours to give.
func leaves(stacked bool) []pair {
	out := []pair{{"apiserver", ".key", ".crt", "ca"}, {"apiserver-kubelet-client", ".key", ".crt", "ca"},
		{"front-proxy-client", ".key", ".crt", "front-proxy-ca"}}
	if stacked {
		for _, name := range []string{"etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client"} {
			out = append(out, pair{name, ".key", ".crt", etcdAuthority})
		}
	}
	return out
}

// etcdAuthority is kubeadm's CA for its own etcd.
const etcdAuthority = "etcd/ca"

// condition is how much of a pair or file is there.
type condition int

const (
	missing condition = iota
	whole
	// headless: only the private file, or a garbled public one. That is what an
	// interruption leaves.
	headless
	// keyless: only the public file, or a garbled private one.
	keyless
)

// inspect looks at a pair's files.
func inspect(h *host.Host, p pair) (condition, error) {
	private, privateThere, err := readPEM(h, p.first())
	if err != nil {
		return missing, err
	}
	public, publicThere, err := readPEM(h, p.second())
	if err != nil {
		return missing, err
	}
	switch {
	case private && public:
		return whole, nil
	case !privateThere && !publicThere:
		return missing, nil
	case public:
		return keyless, nil
	}
	return headless, nil
}

// readPEM tells whether a file is there, and whether it holds PEM.
func readPEM(h *host.Host, path string) (good, there bool, err error) {
	raw, err := h.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	block, _ := pem.Decode(bytes.TrimSpace(raw))
	return block != nil, true, nil
}

// remains is what an unfinished run of kubeadm left.
type remains struct {
	// started is true when an apiserver or an etcd may have run: its manifest is there.
	started bool
	stacked bool
	pairs   map[string]condition
	// brokenConfigs are kubeconfigs that can't be read.
	brokenConfigs []string
	// anyConfig is true when there is a kubeconfig that can be read, and so a
	// client certificate that the CA signed.
	anyConfig bool
}

func look(h *host.Host, stacked bool) (remains, error) {
	r := remains{stacked: stacked, pairs: map[string]condition{}}
	for _, manifest := range []string{apiserverManifest, etcdManifest} {
		there, err := h.Exists(manifest)
		if err != nil {
			return r, err
		}
		r.started = r.started || there
	}
	var err error
	for _, p := range append(slices.Concat(authorities(stacked), leaves(stacked)), serviceAccount) {
		if r.pairs[p.name], err = inspect(h, p); err != nil {
			return r, err
		}
	}
	for _, path := range kubeconfigs {
		raw, err := h.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return r, err
		}
		if c, err := clientcmd.Load(raw); err != nil || c.Contexts[c.CurrentContext] == nil {
			r.brokenConfigs = append(r.brokenConfigs, path)
		} else {
			r.anyConfig = true
		}
	}
	return r, nil
}

// mend decides which files of an unfinished run of ours are to be put away, so
// that kubeadm makes them again.
//
// kubeadm writes a key before its certificate, signs others with an authority
// only once both are on disk, and writes the apiserver's manifest after all
// certificates and kubeconfigs. So a key without its certificate, where nothing
// was signed and nothing started, was never used by anybody: it may go, even an
// authority's. Anything else that is half there was damaged by somebody else,
// and an authority that may be in use is never made anew.
//
// With ownCA false the authorities come from the cluster, and kubeadm itself
// writes them anew.
func (r remains) mend(ownCA bool) (remove []string, err error) {
	for _, p := range append(authorities(r.stacked), serviceAccount) {
		c := r.pairs[p.name]
		if !ownCA || c == missing || c == whole {
			continue
		}
		if c == keyless || r.started || r.usedAuthority(p) {
			return nil, host.WithHint(fmt.Errorf("%s and %s are not both whole, though they may be in use: kubectl-ha does not make them anew", p.first(), p.second()),
				"put both back from a backup; when the cluster was never used, run kubeadm reset on this host, remove "+kubernetesDir+" and begin with new hosts")
		}
		remove = append(remove, p.first(), p.second())
	}
	for _, p := range leaves(r.stacked) {
		c := r.pairs[p.name]
		if c == missing || c == whole {
			continue
		}
		if r.started {
			return nil, host.WithHint(fmt.Errorf("%s and %s are not both whole, though the apiserver uses them", p.first(), p.second()),
				"remove both files: kubeadm signs new ones with the cluster's CA when the command is run again")
		}
		remove = append(remove, p.first(), p.second())
	}
	// kubeadm makes a kubeconfig from the CA whenever it is missing.
	return append(remove, r.brokenConfigs...), nil
}

// usedAuthority tells whether anything that an authority signed is there.
func (r remains) usedAuthority(p pair) bool {
	if p.name == "ca" && r.anyConfig {
		return true
	}
	for _, l := range leaves(r.stacked) {
		if l.signer == p.name && r.pairs[l.name] != missing {
			return true
		}
	}
	return false
}

// tidy puts away what mend decides.
func tidy(ctx context.Context, h *host.Host, ownCA, stacked bool) error {
	r, err := look(h, stacked)
	if err != nil {
		return fmt.Errorf("look at what an earlier run of kubeadm left: %w", err)
	}
	remove, err := r.mend(ownCA)
	if err != nil {
		return err
	}
	for _, path := range remove {
		if _, err := h.Remove(ctx, path); err != nil {
			return err
		}
	}
	return nil
}
