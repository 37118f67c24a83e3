package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// rotationDeps are the parts of a rotation that tests replace.
type rotationDeps struct {
	// well is nil when a program of the host answers as one that is well.
	well func(ctx context.Context, env node.Env, program string) error
	// runsWith is nil when a program runs with an argument.
	runsWith func(h *host.Host, program, argument string) error
	// accepts is nil when the apiserver asks for client certificates of all of these CAs, and not
	// for those of the one that is gone, unless that is nil.
	accepts func(ctx context.Context, env node.Env, anchors, gone []byte) error
	// certify has the cluster sign a kubelet's certificate.
	certify func(ctx context.Context, env node.Env, request, key []byte, signer string, usages []certificatesv1.KeyUsage) ([]byte, error)
}

func rotationOnHost() rotationDeps {
	return rotationDeps{well: wellOf, runsWith: runsWith, accepts: accepts, certify: certify}
}

// wellOf asks a program of the host how it is.
func wellOf(ctx context.Context, env node.Env, program string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	h := env.Host
	switch program {
	case apiserverProgram:
		return apiserverReady(ctx, h)
	case kubeletProgram:
		url, err := upgrade.HealthURL(h)
		if err != nil || url == "" {
			return err
		}
		return get(ctx, nil, pki.KeyPair{}, url)
	}
	at, ok := healthOf[program]
	if !ok {
		return fmt.Errorf("nobody knows where %s answers", program)
	}
	return get(ctx, &tls.Config{InsecureSkipVerify: true}, pki.KeyPair{}, "https://"+at+"/healthz") //nolint:gosec // it makes one itself
}

// accepts shakes hands with the apiserver, which names the CAs whose client certificates it
// takes (RFC 8446, 4.2.4): those of users, and those of the front proxy besides.
func accepts(ctx context.Context, env node.Env, anchors, gone []byte) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var named [][]byte
	asked := false
	config := &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) { //nolint:gosec // nothing is believed but what it accepts
		named, asked = info.AcceptableCAs, true
		return &tls.Certificate{}, nil
	}}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", localAPI(env.Host))
	if err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return err
	}
	if !asked {
		return errors.New("it asks for no client certificate")
	}
	accepted := func(ca *x509.Certificate) bool {
		return slices.ContainsFunc(named, func(name []byte) bool { return bytes.Equal(name, ca.RawSubject) })
	}
	for _, anchor := range pki.Certs(anchors) {
		cert, err := pki.ParseCert(anchor)
		if err != nil {
			return err
		}
		if !accepted(cert) {
			return fmt.Errorf("it does not accept certificates of %s yet", cert.Subject)
		}
	}
	if gone == nil {
		return nil
	}
	cert, err := pki.ParseCert(gone)
	if err != nil {
		return err
	}
	if accepted(cert) {
		return fmt.Errorf("it still accepts certificates of %s", cert.Subject)
	}
	return nil
}
