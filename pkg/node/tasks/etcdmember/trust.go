package etcdmember

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// TrustSpec has a member trust CAs, for its peers and its clients.
type TrustSpec struct {
	// Name and Address of this member.
	Name    string `json:"name"`
	Address string `json:"address"`
	// Members maps all members' names to addresses.
	Members map[string]string `json:"members"`
	// CAs are all that it is to trust, PEM.
	CAs []byte `json:"cas"`
}

// TrustData is what was done.
type TrustData struct {
	// Restarted tells whether the member was; it trusts the CAs either way.
	Restarted bool `json:"restarted"`
}

// Trust has the member trust CAs. etcd reads them at its start only: it is restarted when they
// differ, or when it was not restarted since they last did, only when the others are a quorum without
// it, and a leader hands over first. It ends when all members are well. CAs that the member does not
// get well with are put back.
func Trust(ctx context.Context, env node.Env, spec TrustSpec) (any, error) {
	return trust(ctx, env, spec, probes{dial: dialPeer, spare: handedOver, healthy: waitHealthy})
}

func trust(ctx context.Context, env node.Env, spec TrustSpec, p probes) (any, error) {
	h := env.Host
	full, _, err := SettingsSpec{Name: spec.Name, Address: spec.Address, Members: spec.Members}.asItIs(h)
	if err != nil {
		return nil, err
	}
	before := full.CA
	if err := ownBy(full, spec.CAs); err != nil {
		return nil, err
	}
	info, err := h.Stat(caFile)
	if err != nil {
		return nil, err
	}
	file := host.File{Path: caFile, Mode: info.Mode().Perm(), Content: spec.CAs, Note: "etcd's CA certificates"}
	file.UID, file.GID = host.Owner(info)
	changed := false
	// Their order says nothing to etcd.
	if !pki.SameSet(pki.Certs(before), pki.Certs(spec.CAs)) {
		if changed, err = h.WriteFile(ctx, file); err != nil {
			return nil, err
		}
	}
	full.CA = spec.CAs
	restarted, err := restart(ctx, env, full, changed, p)
	if err == nil || !changed || ctx.Err() != nil {
		return TrustData{Restarted: restarted}, err
	}
	file.Content, file.Note = before, "etcd's CA certificates, as they were"
	full.CA = before
	return nil, full.takeBack(ctx, env, file, restarted, err, "look at journalctl -u etcd on the host, then run the command again; members that are done are left as they are", p)
}

// ownBy is an error when what the member shows to its peers and clients would not be trusted by
// itself: each member has the same CAs in the end.
func ownBy(s Spec, cas []byte) error {
	if len(pki.Certs(cas)) == 0 {
		return errors.New("there is no CA to trust")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cas)
	for what, pem := range map[string][]byte{"server": s.ServerCert, "peer": s.PeerCert} {
		cert, err := pki.ParseCert(pem)
		if err == nil {
			_, err = cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		}
		if err != nil {
			return host.WithHint(fmt.Errorf("none of the CAs that the member would trust has signed its %s certificate: %w", what, err),
				"nothing was changed; where the certificate has ended: kubectl ha certs rescue; else repeat the phase issue")
		}
	}
	return nil
}
