package schedule

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

// dialTimeout bounds the look at one port.
const dialTimeout = 5 * time.Second

// Run is what the CronJob's pod does. It may be ended at any moment: who comes next goes on with
// what it has begun. The error is why the run has failed, in one line.
func Run(ctx context.Context, config *rest.Config, o Options) error {
	base, err := Renewal().Start(ctx, config, o.Options)
	if err != nil {
		return err
	}
	r := run{Run: base, life: o.Life, elsewhere: shown}
	return schedule.OneLine(r.do(ctx))
}

// shown are the certificates that members show at their own ports, which are on hosts that are no
// nodes.
func shown(ctx context.Context, hosts []v1alpha1.Host) (out []certs.Elsewhere, unseen map[string]string) {
	unseen = map[string]string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, h := range hosts {
		for name, port := range map[string]string{certs.EtcdServer: etcdmember.ClientPort, certs.EtcdPeer: etcdmember.PeerPort} {
			all.Go(func() {
				cert, err := showing(ctx, net.JoinHostPort(h.Address, port))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					unseen[h.Name] = err.Error()
					return
				}
				out = append(out, certs.Elsewhere{Host: h.Name, Name: name, NotAfter: cert.NotAfter})
			})
		}
	}
	all.Wait()
	return out, unseen
}

// showing shakes hands without a login. Who refuses that has shown his certificate all the same.
func showing(ctx context.Context, address string) (*x509.Certificate, error) {
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
	conn, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close() // Nothing was sent.
	}
	switch {
	case leaf != nil:
		return leaf, nil
	case err == nil:
		err = errors.New("it shows no certificate")
	}
	return nil, fmt.Errorf("%s: %w", address, err)
}
