package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	manifestsDir      = kubernetesDir + "/manifests"
	apiserverManifest = manifestsDir + "/kube-apiserver.yaml"
	etcdManifest      = manifestsDir + "/etcd.yaml"
	kubeletAddress    = "127.0.0.1:10250"

	// askTimeout bounds one question to what uses a certificate.
	askTimeout = 5 * time.Second
)

func onHost() deps {
	return deps{probe: probe, shown: shown, restart: restart, revive: revive, rotationDeps: rotationOnHost()}
}

// probe asks what goes by a certificate, with the certificate where it is a login.
func probe(ctx context.Context, env node.Env, u unit) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	h := env.Host
	pair, err := u.current(h)
	if err != nil {
		return err
	}
	switch u.name {
	case EtcdServer, LocalEtcdServer, LocalEtcdHealth:
		return etcdAnswers(ctx, h, u, pair, strings.Split(etcdSetting(h, "advertise-client-urls"), ","))
	case EtcdPeer, LocalEtcdPeer:
		return peersTake(ctx, h, u, pair)
	case EtcdClient:
		return etcdAnswers(ctx, h, u, pair, strings.Split(flag(h, apiserverManifest, "etcd-servers"), ","))
	case APIServer, FrontProxyClient:
		return apiserverReady(ctx, h)
	case KubeletClientOfAPI:
		// The kubelet's own certificate may be one that nobody can verify.
		return get(ctx, &tls.Config{InsecureSkipVerify: true}, pair, "https://"+kubeletAddress+"/healthz") //nolint:gosec // see above
	case Kubelet:
		return nodeSeen(ctx, h, pair)
	case kubeletServer:
		return wellOf(ctx, env, kubeletProgram)
	}
	raw, err := h.ReadFile(u.cert)
	if err != nil {
		return err
	}
	l, err := readLogin(raw)
	if err != nil {
		return err
	}
	for _, program := range u.restarts {
		if err := get(ctx, &tls.Config{InsecureSkipVerify: true}, pki.KeyPair{}, "https://"+healthOf[program]+"/healthz"); err != nil { //nolint:gosec // it makes one itself
			return fmt.Errorf("%s: %w", program, err)
		}
	}
	return ask(ctx, l.ca, pair, l.server+"/readyz")
}

// healthOf is where static pods answer on the loopback.
// https://kubernetes.io/docs/reference/networking/ports-and-protocols/
var healthOf = map[string]string{controllerManagerProgram: "127.0.0.1:10257", schedulerProgram: "127.0.0.1:10259"}

// shown shakes hands at the port that serves with a certificate.
func shown(ctx context.Context, env node.Env, u unit, cert *x509.Certificate) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	at := ""
	switch u.name {
	case EtcdServer, LocalEtcdServer:
		at = etcdSetting(env.Host, "advertise-client-urls")
	case EtcdPeer, LocalEtcdPeer:
		at = etcdSetting(env.Host, "initial-advertise-peer-urls")
	case APIServer:
		at = "https://" + localAPI(env.Host)
	case kubeletServer:
		at = "https://" + kubeletAddress
	default:
		return nil // A login is shown by who asks with it.
	}
	at, _, _ = strings.Cut(at, ",")
	where, err := url.Parse(at)
	if err != nil || where.Host == "" {
		return fmt.Errorf("%w: where it would be is not known", errUnseen)
	}
	leaf, err := present(ctx, where.Host)
	if leaf == nil {
		return fmt.Errorf("%w: %w", errUnseen, err)
	}
	if !bytes.Equal(leaf.Raw, cert.Raw) {
		return fmt.Errorf("%s shows the certificate with the number %s, not the new one %s", where.Host, leaf.SerialNumber.Text(16), cert.SerialNumber.Text(16))
	}
	return nil
}

// present is the certificate that a server presents, also when it then refuses who has no login.
func present(ctx context.Context, address string) (leaf *x509.Certificate, err error) {
	// Nothing is sent and nothing is believed: only the certificate is looked at.
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) (err error) { //nolint:gosec // see above
		if len(raw) > 0 {
			leaf, err = x509.ParseCertificate(raw[0])
		}
		return err
	}}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		err = conn.Close()
	}
	return leaf, err
}

// etcdAnswers asks members, and is nil when one of them answers, and follows a leader.
func etcdAnswers(ctx context.Context, h *host.Host, u unit, pair pki.KeyPair, endpoints []string) (err error) {
	ca, err := h.ReadFile(u.trust())
	if err != nil {
		return err
	}
	if len(endpoints) == 0 || endpoints[0] == "" {
		return errors.New("there is no etcd to ask")
	}
	client, err := etcd.Connect(ctx, endpoints, etcd.TLS{CA: ca, Cert: pair.CertPEM, Key: pair.KeyPEM})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	var wrong []error
	for _, s := range client.Status(ctx) {
		switch {
		case s.Err != nil:
			wrong = append(wrong, fmt.Errorf("%s: %w", s.Endpoint, s.Err))
		case s.Leader == 0:
			wrong = append(wrong, fmt.Errorf("%s follows no leader", s.Endpoint))
		default:
			return nil
		}
	}
	return errors.Join(wrong...)
}

// peersTake is nil when another member takes this one's certificate, or there is no other. A
// member asks with it whenever it connects anew.
func peersTake(ctx context.Context, h *host.Host, u unit, pair pki.KeyPair) error {
	ca, err := h.ReadFile(u.trust())
	if err != nil {
		return err
	}
	own := strings.Split(etcdSetting(h, "initial-advertise-peer-urls"), ",")[0]
	var wrong []error
	for _, member := range strings.Split(etcdSetting(h, "initial-cluster"), ",") {
		_, at, ok := strings.Cut(member, "=")
		if !ok || at == own {
			continue
		}
		// https://etcd.io/docs/v3.6/op-guide/monitoring/ knows it of the clients' port; peers have it too.
		err := ask(ctx, ca, pair, at+"/version")
		if err == nil {
			return nil
		}
		wrong = append(wrong, fmt.Errorf("the member at %s: %w", at, err))
	}
	return errors.Join(wrong...)
}

// apiserverReady asks the host's own apiserver, with the host's CA and without any login.
func apiserverReady(ctx context.Context, h *host.Host) error {
	ca, err := h.ReadFile(pkiDir + "/ca.crt")
	if err != nil {
		return err
	}
	return ask(ctx, ca, pki.KeyPair{}, "https://"+localAPI(h)+"/readyz")
}

// localAPI is where the host's apiserver listens; empty when there is none.
func localAPI(h *host.Host) string {
	address, port := flag(h, apiserverManifest, "advertise-address"), flag(h, apiserverManifest, "secure-port")
	if address == "" {
		return ""
	}
	if port == "" {
		port = "6443"
	}
	return net.JoinHostPort(address, port)
}

// nodeSeen asks the API for the kubelet's own node, as the kubelet.
func nodeSeen(ctx context.Context, h *host.Host, pair pki.KeyPair) error {
	raw, err := h.ReadFile(kubeletConf)
	if err != nil {
		return err
	}
	l, err := readLogin(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", kubeletConf, err)
	}
	cert, err := pki.ParseCert(pair.CertPEM)
	if err != nil {
		return err
	}
	name, ok := strings.CutPrefix(cert.Subject.CommonName, nodeUser)
	if !ok {
		return fmt.Errorf("the kubelet's login is that of %q, which is no node", cert.Subject.CommonName)
	}
	return ask(ctx, l.ca, pair, l.server+"/api/v1/nodes/"+name)
}

// ask makes one request of who has a certificate of the CA.
func ask(ctx context.Context, ca []byte, pair pki.KeyPair, url string) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("there is no CA to check the answer against")
	}
	return get(ctx, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, pair, url)
}

// get makes one request over a connection of its own that has to be answered with 200.
func get(ctx context.Context, config *tls.Config, pair pki.KeyPair, url string) error {
	if len(pair.CertPEM) > 0 {
		cert, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
		if err != nil {
			return errors.New("certificate and key do not fit") // The error is about what is in the files.
		}
		config.Certificates = []tls.Certificate{cert}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is answered with %d", url, res.StatusCode)
	}
	return nil
}

// etcdSetting is a flag of the host's own etcd, whoever runs that; empty when it is not known.
func etcdSetting(h *host.Host, name string) string {
	if raw, err := h.ReadFile(etcdmember.ConfigPath); err == nil {
		return etcdmember.Setting(raw, name)
	}
	if raw, err := h.ReadFile(etcdmember.YAMLPath); err == nil {
		settings := map[string]any{}
		if yaml.Unmarshal(raw, &settings) == nil {
			text, _ := settings[name].(string)
			return text
		}
	}
	return flag(h, etcdManifest, name)
}

// flag is an argument in a static pod's manifest, as kubeadm writes them; empty for none.
func flag(h *host.Host, manifest, name string) string {
	raw, err := h.ReadFile(manifest)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	m := regexp.MustCompile(`(?m)^\s*- --` + regexp.QuoteMeta(name) + `=(\S+)$`).FindSubmatch(raw)
	if m == nil {
		return ""
	}
	return string(m[1])
}
