package upgrade

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// dialTimeout bounds the look at one address.
const dialTimeout = 5 * time.Second

// Endpoint is an apiserver's or an etcd member's own address.
type Endpoint struct {
	Node    string
	Address string
	Etcd    bool
	// NotAfter is the end of its serving certificate; zero when not seen.
	NotAfter time.Time
	// Due: less than half of its life is left.
	Due bool
	// Error says why it could not be talked to; empty when it could.
	Error string
}

// endpoints looks at all of them at once, and says who holds the virtual IP: the
// control plane whose certificate is served there, since each has its own.
func endpoints(ctx context.Context, config *rest.Config, c *v1alpha1.Cluster) (servers, etcd []Endpoint, holder string) {
	servers, etcd = make([]Endpoint, len(c.ControlPlanes())), make([]Endpoint, len(c.EtcdMembers()))
	certs := make([]*x509.Certificate, len(servers))
	var vip *x509.Certificate
	var all sync.WaitGroup
	for i, h := range c.ControlPlanes() {
		servers[i] = Endpoint{Node: h.Name, Address: c.APIServerAddress(h.Address)}
		all.Go(func() {
			certs[i] = servers[i].look(ctx)
			if _, err := serverVersion(ctx, config, servers[i].Address); err != nil && servers[i].Error == "" {
				servers[i].Error = err.Error()
			}
		})
	}
	for i, h := range c.EtcdMembers() {
		etcd[i] = Endpoint{Node: h.Name, Address: net.JoinHostPort(h.Address, strconv.Itoa(v1alpha1.EtcdClientPort)), Etcd: true}
		all.Go(func() { etcd[i].look(ctx) })
	}
	all.Go(func() {
		// Without an answer the holder is not known, and that is no more than a matter of order.
		vip = (&Endpoint{Address: c.Endpoint()}).look(ctx)
	})
	all.Wait()
	for i, cert := range certs {
		if vip != nil && cert != nil && bytes.Equal(vip.Raw, cert.Raw) {
			holder = servers[i].Node
		}
	}
	return servers, etcd, holder
}

// look shakes hands, without any login, and keeps what it sees of the certificate. One
// who shows it is there, also when he then refuses whoever has no login: etcd does.
func (e *Endpoint) look(ctx context.Context) *x509.Certificate {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var leaf *x509.Certificate
	// Nothing is sent and nothing is believed: only the certificate is looked at.
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) (err error) { //nolint:gosec // see above
		if len(raw) > 0 {
			leaf, err = x509.ParseCertificate(raw[0])
		}
		return err
	}}}
	conn, err := d.DialContext(ctx, "tcp", e.Address)
	if err == nil {
		_ = conn.Close() // Nothing was sent.
	}
	if leaf == nil {
		if err != nil {
			e.Error = err.Error()
		}
		return nil
	}
	e.NotAfter, e.Due = leaf.NotAfter, pki.Due(leaf, time.Now())
	return leaf
}

// serverVersion asks one apiserver itself whether it is ready, and for its
// version. /readyz includes a read from etcd that needs its quorum.
// https://kubernetes.io/docs/reference/using-api/health-checks/
func serverVersion(ctx context.Context, config *rest.Config, address string) (*version.Info, error) {
	own := rest.CopyConfig(config)
	own.Host, own.Timeout = "https://"+address, dialTimeout
	d, err := discovery.NewDiscoveryClientForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", address, err)
	}
	if _, err := d.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err != nil {
		return nil, fmt.Errorf("the apiserver at %s is not ready: %w", address, err)
	}
	info, err := d.ServerVersionWithContext(ctx)
	if err == nil && info == nil {
		err = errors.New("it does not say")
	}
	if err != nil {
		return nil, fmt.Errorf("the version of the apiserver at %s: %w", address, err)
	}
	return info, nil
}
