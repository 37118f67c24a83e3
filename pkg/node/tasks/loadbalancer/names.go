package loadbalancer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	caCert        = "/etc/kubernetes/pki/ca.crt"
	caKey         = "/etc/kubernetes/pki/ca.key"
	apiserverCert = "/etc/kubernetes/pki/apiserver.crt"

	// takenUpTimeout bounds the wait for the apiserver to use a new certificate: it looks
	// at the file when that changes, and once a minute besides.
	takenUpTimeout  = 3 * time.Minute
	takenUpInterval = 500 * time.Millisecond
	dialTimeout     = 3 * time.Second
)

// NamesSpec says for which names the apiserver's certificate is to be.
type NamesSpec struct {
	// Names are host names and addresses.
	Names []string `json:"names"`
	// Endpoint is where the host's own apiserver listens.
	Endpoint string `json:"endpoint"`
}

// NamesData tells what was done.
type NamesData struct {
	// Added are the names that the certificate did not have.
	Added []string `json:"added,omitempty"`
}

// Names makes the apiserver's certificate anew when it is not for all names, by the
// cluster's CA and for the same key. The apiserver takes it up by itself, without a
// restart and without any connection ending; the task ends when it has.
func Names(ctx context.Context, env node.Env, spec NamesSpec) (any, error) {
	h := env.Host
	current, err := h.ReadFile(apiserverCert)
	if err != nil {
		return nil, host.WithHint(fmt.Errorf("the apiserver's certificate: %w", err), "is this host a control plane that kubeadm made?")
	}
	cert, err := pki.ParseCert(current)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", apiserverCert, err)
	}
	data := NamesData{Added: pki.Lacking(cert, spec.Names)}
	if len(data.Added) > 0 {
		if cert, err = addNames(ctx, h, current, data.Added); err != nil {
			return nil, err
		}
	}
	if h.DryRun() {
		return data, nil
	}
	env.Progress("waiting until the apiserver uses its certificate for %s", strings.Join(spec.Names, ", "))
	return data, takenUp(ctx, spec.Endpoint, cert)
}

// addNames writes the new certificate. The key stays, so that one file is all that changes.
func addNames(ctx context.Context, h *host.Host, current []byte, names []string) (*x509.Certificate, error) {
	ca := pki.KeyPair{}
	var err error
	if ca.CertPEM, err = h.ReadFile(caCert); err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	if ca.KeyPEM, err = h.ReadFile(caKey); err != nil {
		return nil, host.WithHint(fmt.Errorf("the apiserver's certificate lacks %s, and the key of the cluster's CA can't be read: %w", strings.Join(names, ", "), err),
			"where the CA's key is kept elsewhere, sign a new "+apiserverCert+" with these names there, or put the key here for as long as this takes")
	}
	fresh, err := pki.AddNames(ca, current, names)
	if err != nil {
		return nil, host.WithHint(err, "a certificate that somebody else signs is theirs to make anew, with these names: "+strings.Join(names, ", "))
	}
	if _, err := h.WriteFile(ctx, host.File{Path: apiserverCert, Mode: 0o644, Content: fresh, Note: "the apiserver is known as " + strings.Join(names, ", ") + " as well"}); err != nil {
		return nil, err
	}
	return pki.ParseCert(fresh)
}

// takenUp waits until the apiserver presents the certificate.
func takenUp(ctx context.Context, endpoint string, cert *x509.Certificate) error {
	return host.Until(ctx, takenUpTimeout, takenUpInterval, func(ctx context.Context) error {
		presented, err := present(ctx, endpoint)
		if err == nil && !bytes.Equal(presented.Raw, cert.Raw) {
			err = errors.New("it presents another certificate than " + apiserverCert)
		}
		return err
	}, func(seen error) error {
		return host.WithHint(fmt.Errorf("the apiserver at %s does not use its new certificate: %w", endpoint, seen),
			"look at --tls-cert-file and --tls-sni-cert-key in /etc/kubernetes/manifests/kube-apiserver.yaml, and at the apiserver's log")
	})
}

// present is the certificate that a server presents, whoever signed it.
func present(ctx context.Context, endpoint string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	// Nothing is said to it: which certificate it has is all that is asked.
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	conn, err := dialer.DialContext(ctx, "tcp", endpoint)
	if err != nil {
		return nil, err
	}
	all := conn.(*tls.Conn).ConnectionState().PeerCertificates
	if err := conn.Close(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("it presents no certificate")
	}
	return all[0], nil
}
