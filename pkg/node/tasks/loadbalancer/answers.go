package loadbalancer

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// answersTimeout bounds the wait for an endpoint: one that has just moved is announced to the
	// network within seconds.
	answersTimeout  = 20 * time.Second
	answersInterval = time.Second
)

// answers shakes hands with the server of an access file, which has to be the cluster's by the CA
// in the file, under the name in its URL. Nobody logs in.
func answers(ctx context.Context, access []byte) error {
	address, trust, err := serverOf(access)
	if err != nil {
		return err
	}
	return host.Until(ctx, answersTimeout, answersInterval, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		conn, err := (&tls.Dialer{Config: trust}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}, func(seen error) error { return seen })
}

// serverOf is where an access file's current context leads, and what to trust there.
func serverOf(access []byte) (address string, trust *tls.Config, err error) {
	c, err := clientcmd.Load(access)
	if err != nil {
		return "", nil, err
	}
	at := c.Contexts[c.CurrentContext]
	if at == nil || c.Clusters[at.Cluster] == nil {
		return "", nil, errors.New("it has no current context")
	}
	cluster := c.Clusters[at.Cluster]
	u, err := url.Parse(cluster.Server)
	if err != nil {
		return "", nil, err
	}
	// Only what is trusted: nobody logs in.
	trust, err = rest.TLSConfigFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{CAData: cluster.CertificateAuthorityData, CAFile: cluster.CertificateAuthority,
		ServerName: cmp.Or(cluster.TLSServerName, u.Hostname())}})
	if err == nil && trust == nil {
		err = errors.New("it names no CA")
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")), trust, err
}
