package status

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

const (
	// probeTimeout bounds one question to one component.
	probeTimeout = 4 * time.Second
	// maxAnswer bounds an answer, in bytes; etcd's metrics are 200 KiB.
	maxAnswer = 8 << 20
)

// dialer connects to one place.
type dialer func(ctx context.Context) (net.Conn, error)

// direct dials an address.
func direct(address string) dialer {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
}

// through dials a port of the tunnel's host.
func (t *tunnel) through(port int) dialer {
	return func(ctx context.Context) (net.Conn, error) { return t.dial(ctx, port) }
}

// certificate shakes hands and returns the certificate that is shown, without any
// login. One who shows it is there, also when he then refuses whoever has no
// certificate of his own: etcd does.
func certificate(ctx context.Context, dial dialer) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var leaf *x509.Certificate
	// Nothing is sent and nothing is believed: only the certificate is looked at.
	client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) (err error) { //nolint:gosec // see above
		if len(raw) > 0 {
			leaf, err = x509.ParseCertificate(raw[0])
		}
		return err
	}})
	err = client.HandshakeContext(ctx)
	if leaf != nil {
		return leaf, nil
	}
	if err == nil {
		err = errors.New("it shows no certificate")
	}
	return nil, err
}

// headStart is how long the direct way is waited for before the other is tried as well: where a firewall drops
// what is sent, nobody says that it leads nowhere.
const headStart = 250 * time.Millisecond

// shown is certificate by the direct way or, where that fails or is silent, by the other one; dial is the way
// by which it was shown first, and the direct one when neither did. The error is the direct way's.
func shown(ctx context.Context, direct, other dialer) (cert *x509.Certificate, dial dialer, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // Whoever comes second is of no use.
	type answer struct {
		cert *x509.Certificate
		err  error
	}
	ask := func(d dialer) <-chan answer {
		said := make(chan answer, 1)
		go func() {
			c, err := certificate(ctx, d)
			said <- answer{c, err}
		}()
		return said
	}
	first, second := ask(direct), (<-chan answer)(nil)
	wait := time.NewTimer(headStart)
	defer wait.Stop()
	silent := wait.C
	for first != nil || second != nil {
		select {
		case a := <-first:
			if a.err == nil {
				return a.cert, direct, nil
			}
			first, err = nil, a.err
		case a := <-second:
			if a.err == nil {
				return a.cert, other, nil
			}
			second = nil
			continue
		case <-silent:
		}
		if silent != nil {
			silent, second = nil, ask(other)
		}
	}
	return nil, direct, err
}

// get asks for a document without any login. Over TLS the certificate is not
// verified: controller-manager and scheduler make one for themselves, and nothing
// is believed of them but whether they say that they are well.
func get(ctx context.Context, dial dialer, url string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, body, err
}

// askServer asks one apiserver itself, verified by the cluster's CA, whether it is
// ready, and for its version. /readyz includes a read from etcd that needs its quorum.
// https://kubernetes.io/docs/reference/using-api/health-checks/
func askServer(ctx context.Context, config *rest.Config, address string, dial dialer) Component {
	own := rest.CopyConfig(config)
	own.Host, own.APIPath, own.Timeout = "https://"+address, "", probeTimeout
	if dial != nil {
		own.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	}
	d, err := discovery.NewDiscoveryClientForConfig(own)
	if err != nil {
		return Component{Error: err.Error(), Unseen: true}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	began := time.Now()
	_, err = d.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	c := Component{Healthy: err == nil, Milliseconds: max(1, time.Since(began).Milliseconds())}
	if err != nil {
		c.Error = fmt.Sprintf("it is not ready: %s", short(err))
		return c
	}
	info, err := d.ServerVersionWithContext(ctx)
	if err != nil || info == nil {
		c.Healthy, c.Error = false, "it does not tell its version"
		return c
	}
	c.Version = info.GitVersion
	return c
}
