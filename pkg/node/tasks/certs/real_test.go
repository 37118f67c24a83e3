package certs

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// patience is for a machine that is busy with other tests.
const patience = 2 * time.Minute

// program is one that the environment names, or the test is skipped.
func program(t *testing.T, name string) string {
	t.Helper()
	path := os.Getenv(name)
	if path == "" {
		t.Skip(name + " does not name the program")
	}
	return path
}

// running is a program that ends with the test.
type process struct {
	log  string
	stop func()
}

func start(t *testing.T, log, binary string, args ...string) process {
	t.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); _ = out.Close(); close(done) }() // It is killed: how it ends is of no interest.
	p := process{log: log, stop: sync.OnceFunc(func() { _ = cmd.Process.Kill(); <-done })}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			text, _ := os.ReadFile(log) // Only for the message.
			t.Logf("%s:\n%s", binary, text[max(0, len(text)-4000):])
		}
	})
	return p
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // The port is free again either way.
	return l.Addr().String()
}

func newEnv(h *host.Host) node.Env {
	return node.Env{Host: h, Progress: func(string, ...any) {}, Sink: report.SinkFunc(func(report.Event) {})}
}

// member is a real etcd member with a host's files.
type member struct {
	h            *host.Host
	client, peer string
	args         []string
	process      process
}

// members starts n with certificates of a CA, each with a host of its own.
func members(t *testing.T, ca pki.KeyPair, n int) []*member {
	t.Helper()
	binary := program(t, "ETCD")
	var all []*member
	var initial []string
	for i := range n {
		m := &member{h: hosttest.New(t, hosttest.NewCommander(t)), client: "https://" + freePort(t), peer: "https://" + freePort(t)}
		all = append(all, m)
		initial = append(initial, fmt.Sprintf("m%d=%s", i, m.peer))
	}
	for i, m := range all {
		put(t, m.h, etcdmember.PKIDir+"/ca", pki.KeyPair{CertPEM: ca.CertPEM})
		for _, name := range []string{"server", "peer"} {
			pair := issue(t, ca, pki.Request{CommonName: fmt.Sprintf("m%d", i), DNSNames: []string{fmt.Sprintf("m%d", i), "by-hand.example.org"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Client: true})
			put(t, m.h, etcdmember.PKIDir+"/"+name, pair)
		}
		settings := map[string]string{"name": fmt.Sprintf("m%d", i), "advertise-client-urls": m.client, "initial-advertise-peer-urls": m.peer, "initial-cluster": strings.Join(initial, ",")}
		var text strings.Builder
		for flag, value := range settings {
			fmt.Fprintf(&text, "ETCD_%s=%q\n", strings.ToUpper(strings.ReplaceAll(flag, "-", "_")), value)
			m.args = append(m.args, "--"+flag+"="+value)
		}
		hosttest.Write(t, m.h, etcdmember.ConfigPath, text.String(), 0o644)
		in := func(name string) string { return m.h.Path(etcdmember.PKIDir + "/" + name) }
		m.args = append(m.args, "--data-dir="+m.h.Path("/data"), "--listen-client-urls="+m.client, "--listen-peer-urls="+m.peer, "--unsafe-no-fsync",
			"--cert-file="+in("server.crt"), "--key-file="+in("server.key"), "--trusted-ca-file="+in("ca.crt"), "--client-cert-auth",
			"--peer-cert-file="+in("peer.crt"), "--peer-key-file="+in("peer.key"), "--peer-trusted-ca-file="+in("ca.crt"), "--peer-client-cert-auth")
		m.begin(t, binary)
	}
	return all
}

func (m *member) begin(t *testing.T, binary string, more ...string) {
	t.Helper()
	m.process = start(t, m.h.Path("/etcd.log"), binary, append(append([]string{}, m.args...), more...)...)
}

func issue(t *testing.T, ca pki.KeyPair, r pki.Request) pki.KeyPair {
	t.Helper()
	pair, err := pki.Issue(ca, r)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// put writes FILE.crt and FILE.key.
func put(t *testing.T, h *host.Host, file string, pair pki.KeyPair) {
	t.Helper()
	hosttest.Write(t, h, file+".crt", string(pair.CertPEM), 0o644)
	if len(pair.KeyPEM) > 0 {
		hosttest.Write(t, h, file+".key", string(pair.KeyPEM), 0o600)
	}
}

func newCA(t *testing.T, name string) pki.KeyPair {
	t.Helper()
	ca, err := pki.NewCA(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// sign does what the workstation does: it signs what hosts have asked for.
func sign(t *testing.T, ca pki.KeyPair, h *host.Host, names ...string) InstallSpec {
	t.Helper()
	data, err := Request(t.Context(), newEnv(h), RequestSpec{Names: names})
	if err != nil {
		t.Fatal(err)
	}
	spec := InstallSpec{Certificates: map[string][]byte{}}
	for name, p := range data.(RequestData).Pending {
		if strings.Contains(string(p.Current)+string(p.Request), "PRIVATE") {
			t.Errorf("what %s asks for has a key in it", name)
		}
		if spec.Certificates[name], err = pki.Renew(ca, p.Current, p.Request, 0); err != nil {
			t.Fatal(err)
		}
	}
	return spec
}

func healthy(t *testing.T, ca pki.KeyPair, all []*member) {
	t.Helper()
	login := issue(t, ca, pki.Request{CommonName: "test", Client: true})
	var urls []string
	for _, m := range all {
		urls = append(urls, m.client)
	}
	c, err := etcd.Connect(t.Context(), urls, etcd.TLS{CA: ca.CertPEM, Cert: login.CertPEM, Key: login.KeyPEM})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // Only the test's.
	if _, err := c.WaitHealthy(t.Context(), patience, nil); err != nil {
		t.Fatal(err)
	}
}

// serialAt is the number of the certificate at a URL.
func serialAt(t *testing.T, at string) string {
	t.Helper()
	leaf, err := present(t.Context(), strings.TrimPrefix(at, "https://"))
	if leaf == nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber.Text(16)
}

// TestRealEtcd exchanges the certificates of three real members in use, one after the other.
// etcd reads them anew at each handshake, so that none is restarted; a member that comes back
// later is taken by all. Its CA it reads at its start only.
func TestRealEtcd(t *testing.T) {
	ca := newCA(t, "etcd")
	all := members(t, ca, 3)
	healthy(t, ca, all)
	for i, m := range all {
		spec := sign(t, ca, m.h, EtcdServer, EtcdPeer, EtcdClient)
		if len(spec.Certificates) != 2 {
			t.Fatalf("a host without an apiserver asks for %d certificates", len(spec.Certificates))
		}
		again := sign(t, ca, m.h, EtcdServer)
		if same, err := pki.SameKey(again.Certificates[EtcdServer], spec.Certificates[EtcdServer]); err != nil || !same {
			t.Errorf("asked again it makes another key: %v", err)
		}
		got, err := Install(t.Context(), newEnv(m.h), spec)
		if err != nil {
			t.Fatal(err)
		}
		data := got.(Data)
		if len(data.Renewed) != 2 || data.Renewed[0].Name != EtcdServer || len(data.Restarted) > 0 || len(data.Unseen) > 0 {
			t.Errorf("m%d: %+v", i, data)
		}
		if s := serialAt(t, m.client); s != data.Renewed[0].Serial {
			t.Errorf("m%d serves clients with %s, not with %s", i, s, data.Renewed[0].Serial)
		}
		if s := serialAt(t, m.peer); s != data.Renewed[1].Serial {
			t.Errorf("m%d serves peers with %s, not with %s", i, s, data.Renewed[1].Serial)
		}
		cert, err := pki.ParseCert(spec.Certificates[EtcdServer])
		if err != nil || len(pki.Lacking(cert, []string{"by-hand.example.org"})) > 0 {
			t.Errorf("a name that somebody added is gone: %v %v", cert.DNSNames, err)
		}
		if there, err := m.h.Exists(StateDir + "/" + EtcdServer + "/pending.key"); err != nil || there {
			t.Errorf("the key still waits: %v", err)
		}
		// Whoever was interrupted in the end begins with the same.
		if got, err = Install(t.Context(), newEnv(m.h), spec); err != nil || len(got.(Data).Renewed) != 2 || len(m.h.Changes()) == 0 {
			t.Errorf("a second time: %v %v", got, err)
		}
	}
	healthy(t, ca, all)
	all[1].process.stop()
	all[1].begin(t, program(t, "ETCD"))
	healthy(t, ca, all)

	t.Run("the CA is read at the start only", func(t *testing.T) {
		other := newCA(t, "another")
		login := issue(t, other, pki.Request{CommonName: "test", Client: true})
		asks := func() error {
			c, err := etcd.Connect(t.Context(), []string{all[0].client}, etcd.TLS{CA: ca.CertPEM, Cert: login.CertPEM, Key: login.KeyPEM})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }() // Only the test's.
			return c.Status(t.Context())[0].Err
		}
		both := pki.KeyPair{CertPEM: append(append([]byte{}, ca.CertPEM...), other.CertPEM...)}
		put(t, all[0].h, etcdmember.PKIDir+"/ca", both)
		if err := asks(); err == nil {
			t.Error("a member takes up another CA while it runs: what docs/certificates.md says is wrong")
		}
		all[0].process.stop()
		all[0].begin(t, program(t, "ETCD"))
		if !poll.Until(patience, func() bool { return asks() == nil }) {
			t.Error("after its start it does not know the other CA either")
		}
	})
}

// TestRealEtcdAfterTheEnd: certificates of all members have ended, and all were restarted, so
// that none gets to the others. Exchanged one by one they come back.
func TestRealEtcdAfterTheEnd(t *testing.T) {
	ca := newCA(t, "etcd")
	all := members(t, ca, 3)
	healthy(t, ca, all)
	for _, m := range all {
		m.process.stop()
		for _, name := range []string{"server", "peer"} {
			pair := issue(t, ca, pki.Request{CommonName: "old", DNSNames: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Client: true, Validity: time.Millisecond})
			put(t, m.h, etcdmember.PKIDir+"/"+name, pair)
		}
	}
	for _, m := range all {
		m.begin(t, program(t, "ETCD"))
	}
	for _, m := range all {
		if !poll.Until(patience, func() bool {
			leaf, _ := present(t.Context(), strings.TrimPrefix(m.peer, "https://"))
			return leaf != nil
		}) {
			t.Fatal("the member does not listen")
		}
	}
	for _, m := range all {
		data, err := Request(t.Context(), newEnv(m.h), RequestSpec{Names: OfEtcd()})
		if err != nil {
			t.Fatal(err)
		}
		spec := InstallSpec{Certificates: map[string][]byte{}}
		for name, p := range data.(RequestData).Pending {
			if spec.Certificates[name], err = pki.Renew(ca, p.Current, p.Request, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Install(t.Context(), newEnv(m.h), spec)
		if err != nil {
			t.Fatal(err)
		}
		if d := got.(Data); len(d.Renewed) != 2 || d.Renewed[1].Serial != serialAt(t, m.peer) {
			t.Errorf("%+v", d)
		}
	}
	healthy(t, ca, all)
}

// recorder is a server that notes the numbers of its clients' certificates.
type recorder struct {
	*httptest.Server
	mu   sync.Mutex
	last string
}

func newRecorder(t *testing.T, at string, answer http.HandlerFunc) *recorder {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		if len(req.TLS.PeerCertificates) > 0 {
			r.last = req.TLS.PeerCertificates[0].SerialNumber.Text(16)
		}
		r.mu.Unlock()
		w.Header().Set("Connection", "close") // The next request shakes hands again.
		answer(w, req)
	}))
	_ = r.Listener.Close() // The loopback's, on which nothing came.
	r.Listener = listener
	r.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

// ownAddress is one of this machine's that is no loopback.
func ownAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if ip, _, err := net.ParseCIDR(a.String()); err == nil && ip.To4() != nil && ip.IsGlobalUnicast() {
			return ip.String()
		}
	}
	t.Skip("this machine has the loopback only")
	return ""
}

func (r *recorder) serial() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (r *recorder) address(t *testing.T) netip.AddrPort {
	t.Helper()
	at, err := netip.ParseAddrPort(r.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// revoke makes etcd's list of revoked certificates.
func revoke(t *testing.T, ca pki.KeyPair, file string, certPEM []byte) {
	t.Helper()
	cert, errCert := pki.ParseCert(certPEM)
	issuer, errCA := pki.ParseCert(ca.CertPEM)
	key, errKey := pki.ParseKey(ca.KeyPEM)
	if errCert != nil || errCA != nil || errKey != nil {
		t.Fatal(errCert, errCA, errKey)
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: cert.SerialNumber, RevocationTime: time.Now()}}}, issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, der, 0o600); err != nil {
		t.Fatal(err)
	}
}

// certOf is the number of a certificate on a host.
func certOf(t *testing.T, h *host.Host, file string) string {
	t.Helper()
	raw, err := h.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pki.ParseCert(raw)
	if err != nil {
		t.Fatal(err)
	}
	return cert.SerialNumber.Text(16)
}

// apiserver is a real kube-apiserver with a control plane's files.
type apiserver struct {
	h       *host.Host
	etcd    *member
	etcdCA  pki.KeyPair
	kubeCA  pki.KeyPair
	at      string
	admin   *http.Client
	process process
}

func startAPIServer(t *testing.T) *apiserver {
	t.Helper()
	binary := program(t, "KUBE_APISERVER")
	a := &apiserver{etcdCA: newCA(t, "etcd"), kubeCA: newCA(t, "kubernetes"), at: freePort(t)}
	proxyCA := newCA(t, "front-proxy")
	a.etcd = members(t, a.etcdCA, 1)[0]
	a.h = a.etcd.h
	put(t, a.h, pkiDir+"/ca", a.kubeCA)
	put(t, a.h, pkiDir+"/front-proxy-ca", proxyCA)
	put(t, a.h, localEtcdDir+"/ca", pki.KeyPair{CertPEM: a.etcdCA.CertPEM})
	local := []net.IP{net.IPv4(127, 0, 0, 1)}
	put(t, a.h, pkiDir+"/apiserver", issue(t, a.kubeCA, pki.Request{CommonName: "kube-apiserver", Server: true, IPs: local, DNSNames: []string{"by-hand.example.org"}}))
	put(t, a.h, pkiDir+"/apiserver-kubelet-client", issue(t, a.kubeCA, pki.Request{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}, Client: true}))
	put(t, a.h, pkiDir+"/front-proxy-client", issue(t, proxyCA, pki.Request{CommonName: "front-proxy-client", Client: true}))
	put(t, a.h, pkiDir+"/apiserver-etcd-client", issue(t, a.etcdCA, pki.Request{CommonName: "kube-apiserver-etcd-client", Client: true}))
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Write(t, a.h, pkiDir+"/sa.key", string(key), 0o600)
	admin := issue(t, a.kubeCA, pki.Request{CommonName: "kubernetes-admin", Organization: []string{"system:masters"}, Client: true})
	writeKubeconfig(t, a.h, Admin, "https://"+a.at, a.kubeCA.CertPEM, admin)
	pair, err := tls.X509KeyPair(admin.CertPEM, admin.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.kubeCA.CertPEM)
	a.admin = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}, Timeout: 10 * time.Second}

	in := func(name string) string { return a.h.Path(pkiDir + "/" + name) }
	_, port, _ := net.SplitHostPort(a.at)
	args := []string{"--etcd-servers=" + a.etcd.client, "--etcd-cafile=" + in("etcd/ca.crt"), "--etcd-certfile=" + in("apiserver-etcd-client.crt"), "--etcd-keyfile=" + in("apiserver-etcd-client.key"),
		"--secure-port=" + port, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		"--tls-cert-file=" + in("apiserver.crt"), "--tls-private-key-file=" + in("apiserver.key"), "--client-ca-file=" + in("ca.crt"),
		"--kubelet-client-certificate=" + in("apiserver-kubelet-client.crt"), "--kubelet-client-key=" + in("apiserver-kubelet-client.key"), "--kubelet-preferred-address-types=InternalIP",
		"--proxy-client-cert-file=" + in("front-proxy-client.crt"), "--proxy-client-key-file=" + in("front-proxy-client.key"), "--requestheader-client-ca-file=" + in("front-proxy-ca.crt"),
		"--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file=" + in("sa.key"), "--service-account-key-file=" + in("sa.key"), "--disable-admission-plugins=ServiceAccount"}
	hosttest.Write(t, a.h, apiserverManifest, "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - "+strings.Join(args, "\n    - ")+"\n", 0o600)
	a.process = start(t, filepath.Join(t.TempDir(), "apiserver.log"), binary, args...)
	a.awaitReady(t)
	return a
}

func (a *apiserver) awaitReady(t *testing.T) {
	t.Helper()
	var seen error
	if !poll.Until(patience, func() bool { seen = apiserverReady(t.Context(), a.h); return seen == nil }) {
		t.Fatalf("the apiserver is not ready: %v", seen)
	}
}

// do makes a request as an administrator, and returns the status.
func (a *apiserver) do(t *testing.T, method, path, contentType, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, "https://"+a.at+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := a.admin.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close() // Nothing more is read.
	return res.StatusCode
}

// asleep is a host without a kubelet.
func asleep() deps {
	d := onHost()
	d.revive = func(context.Context, node.Env, *Data) error { return nil }
	return d
}

// TestRealAPIServer renews all that an apiserver has, while it runs, and sees what it does with
// it: it is not restarted for any.
func TestRealAPIServer(t *testing.T) {
	a := startAPIServer(t)
	// An apiserver hands nothing on to a node at a loopback address.
	kubelet := newRecorder(t, ownAddress(t), func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	extension := newRecorder(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"certs.example.org/v1","resources":[]}`))
	})
	if code := a.do(t, "POST", "/api/v1/nodes", "application/json", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"}}`); code != http.StatusCreated {
		t.Fatalf("the node: %d", code)
	}
	at := kubelet.address(t)
	if code := a.do(t, "PATCH", "/api/v1/nodes/n/status", "application/merge-patch+json", fmt.Sprintf(
		`{"status":{"addresses":[{"type":"InternalIP","address":"%s"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":%d}}}}`, at.Addr(), at.Port())); code != http.StatusOK {
		t.Fatalf("the node's status: %d", code)
	}
	at = extension.address(t)
	if code := a.do(t, "POST", "/api/v1/namespaces/default/services", "application/json", fmt.Sprintf(
		`{"apiVersion":"v1","kind":"Service","metadata":{"name":"ext"},"spec":{"type":"ExternalName","externalName":"localhost","ports":[{"port":%d}]}}`, at.Port())); code != http.StatusCreated {
		t.Fatalf("the service: %d", code)
	}
	if code := a.do(t, "POST", "/apis/apiregistration.k8s.io/v1/apiservices", "application/json", fmt.Sprintf(
		`{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.certs.example.org"},"spec":{"group":"certs.example.org","version":"v1","groupPriorityMinimum":1000,"versionPriority":10,"insecureSkipTLSVerify":true,"service":{"name":"ext","namespace":"default","port":%d}}}`, at.Port())); code != http.StatusCreated {
		t.Fatalf("the API service: %d", code)
	}
	uses := func(what string, r *recorder, path, file string) {
		t.Helper()
		want := certOf(t, a.h, file)
		if !poll.Until(patience, func() bool { a.do(t, "GET", path, "", ""); return r.serial() == want }) {
			t.Errorf("%s sees the apiserver with the certificate %q, not with %s of %s", what, r.serial(), want, file)
		}
	}
	uses("the kubelet", kubelet, "/api/v1/nodes/n/proxy/x", pkiDir+"/apiserver-kubelet-client.crt")
	uses("the extension", extension, "/apis/certs.example.org/v1", pkiDir+"/front-proxy-client.crt")

	oldLogin, err := a.h.ReadFile(pkiDir + "/apiserver-etcd-client.crt")
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]string{}
	for _, name := range []string{"apiserver", "apiserver-kubelet-client", "front-proxy-client", "apiserver-etcd-client"} {
		before[name] = certOf(t, a.h, pkiDir+"/"+name+".crt")
	}
	got, err := renew(t.Context(), newEnv(a.h), RenewSpec{}, asleep())
	if err != nil {
		t.Fatal(err)
	}
	if d := got.(Data); len(d.Renewed) != 4 || len(d.Restarted) > 0 || len(d.Unseen) > 0 {
		t.Errorf("%+v", d)
	}
	if got, err = install(t.Context(), newEnv(a.h), sign(t, a.etcdCA, a.h, EtcdClient), asleep()); err != nil || len(got.(Data).Unseen) > 0 {
		t.Fatalf("%+v %v", got, err)
	}
	for name, serial := range before {
		if certOf(t, a.h, pkiDir+"/"+name+".crt") == serial {
			t.Errorf("%s is still the old one", name)
		}
	}
	if s := serialAt(t, "https://"+a.at); s != certOf(t, a.h, pkiDir+"/apiserver.crt") {
		t.Errorf("the apiserver serves with %s", s)
	}
	uses("the kubelet", kubelet, "/api/v1/nodes/n/proxy/x", pkiDir+"/apiserver-kubelet-client.crt")
	uses("the extension", extension, "/apis/certs.example.org/v1", pkiDir+"/front-proxy-client.crt")

	// etcd comes back and takes the old login no more. The apiserver that goes on is the same.
	crl := a.h.Path("/revoked.crl")
	revoke(t, a.etcdCA, crl, oldLogin)
	a.etcd.process.stop()
	a.etcd.begin(t, program(t, "ETCD"), "--client-crl-file="+crl)
	a.awaitReady(t)
	if code := a.do(t, "GET", "/api/v1/nodes/n", "", ""); code != http.StatusOK {
		t.Errorf("a read through etcd: %d", code)
	}
}
