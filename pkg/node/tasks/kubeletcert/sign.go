package kubeletcert

import (
	"context"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	caCert = "/etc/kubernetes/pki/ca.crt"
	caKey  = "/etc/kubernetes/pki/ca.key"
)

// SignSpec asks for a server's certificate. Its key stays with who asks.
type SignSpec struct {
	// Request is a certificate request, as PEM.
	Request []byte `json:"request"`
}

// Signed is a certificate, and the CA's own.
type Signed struct {
	Certificate []byte `json:"certificate"`
	CA          []byte `json:"ca"`
}

// Sign signs a server's certificate by the cluster's CA. Nothing changes on the host.
func Sign(_ context.Context, env node.Env, spec SignSpec) (any, error) {
	cert, err := env.Host.ReadFile(caCert)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	key, err := env.Host.ReadFile(caKey)
	if err != nil {
		return nil, &node.Failure{Message: "the key of the cluster's CA can't be read: " + err.Error(),
			Hint: "where the CA's key is kept elsewhere, no certificate can be made here; put it there for as long as this takes"}
	}
	signed, err := pki.SignServer(pki.KeyPair{CertPEM: cert, KeyPEM: key}, spec.Request)
	if err != nil {
		return nil, err
	}
	return Signed{Certificate: signed, CA: cert}, nil
}
