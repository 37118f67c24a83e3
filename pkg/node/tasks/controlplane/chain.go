package controlplane

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// chainTimeout bounds one handshake with the API.
const chainTimeout = 10 * time.Second

// showChain has the apiserver of a host that joins while the cluster's CA is rotated show what the
// others show behind their certificates: the CA's certificate by the former one (ADR 38). Without it
// clients that know only the former CA would not trust this one apiserver. It is public, and read from
// the API at a URL; before the CA is exchanged there is none.
func showChain(ctx context.Context, h *host.Host, api string) error {
	const certFile = pkiDir + "/apiserver.crt"
	trusted, errTrusted := h.ReadFile(caCert)
	own, errOwn := h.ReadFile(certFile)
	err := errors.Join(errTrusted, errOwn)
	if errors.Is(err, fs.ErrNotExist) && h.DryRun() {
		return nil
	}
	if err != nil {
		return err
	}
	if len(pki.Certs(trusted)) < 2 || len(pki.Certs(own)) != 1 {
		return nil
	}
	shown, err := shownBy(ctx, api, trusted)
	if err != nil {
		return host.WithHint(fmt.Errorf("ask the API for the certificates that it shows while the CA is rotated: %w", err), "it has to answer while a control plane joins; then run the same again")
	}
	var chain []byte
	for _, c := range shown[1:] {
		crossed := pki.EncodeCert(c)
		if signed, err := pki.SignedBy(own, crossed); err != nil || !signed || slices.ContainsFunc(pki.Certs(trusted), func(t []byte) bool { return pki.Same(t, crossed) }) {
			continue // It is not that of the CA which has signed this host's.
		}
		chain = append(chain, crossed...)
	}
	if len(chain) == 0 {
		return nil
	}
	info, err := h.Stat(certFile)
	if err != nil {
		return err
	}
	f := host.File{Path: certFile, Mode: info.Mode().Perm(), Content: slices.Concat(bytes.TrimSpace(own), []byte("\n"), chain), Note: "the apiserver's certificate, with that by the former CA"}
	f.UID, f.GID = host.Owner(info)
	_, err = h.WriteFile(ctx, f)
	return err
}

// shownBy are the certificates that a server shows, whose own is verified by CAs.
func shownBy(ctx context.Context, at string, cas []byte) ([]*x509.Certificate, error) {
	u, err := url.Parse(at)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cas)
	ctx, cancel := context.WithTimeout(ctx, chainTimeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	var shown []*x509.Certificate
	if c, ok := conn.(*tls.Conn); ok {
		shown = c.ConnectionState().PeerCertificates
	}
	if err := conn.Close(); err != nil {
		return nil, err
	}
	if len(shown) == 0 {
		return nil, errors.New("it shows none")
	}
	return shown, nil
}
