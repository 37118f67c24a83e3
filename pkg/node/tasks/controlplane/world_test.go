package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

const (
	testToken = "abcdef.s3cr3ts3cr3ts3cr"
	testKey   = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	rotated   = "/var/lib/kubelet/pki/kubelet-client-current.pem"
)

// world is a host with a cluster around it: an apiserver that answers as the
// test says, a CA, and a strict fake of the host's commands.
type world struct {
	*hosttest.Commander
	t      *testing.T
	root   string
	server *httptest.Server
	// ready is what /readyz answers with, node what the kubelet's node does.
	ready, node atomic.Int32
	// asked is called when the kubelet's node is asked for, if it is set.
	asked func()
	caKey *ecdsa.PrivateKey
	ca    *x509.Certificate
}

func newWorld(t *testing.T) *world {
	w := &world{Commander: hosttest.NewCommander(t), t: t, root: t.TempDir()}
	w.OnUnit(RetireTimer, "LoadState=not-found", "ActiveState=inactive")
	w.ready.Store(http.StatusOK)
	w.node.Store(http.StatusOK)
	w.caKey = w.newKey()
	w.ca = w.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, w.caKey)
	key := w.newKey()
	cert := w.sign(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, w.ca, key)
	clients := x509.NewCertPool()
	clients.AddCert(w.ca)
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/readyz":
			out.WriteHeader(int(w.ready.Load()))
		case "/api/v1/nodes/cp2":
			if w.asked != nil {
				w.asked()
			}
			out.WriteHeader(int(w.node.Load()))
		default:
			t.Errorf("the apiserver was asked for %s", r.URL.Path)
		}
	}))
	w.server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	w.kubelet("inactive")
	w.OnFunc("systemctl start kubelet.service", func(host.Command) (host.Output, error) { w.kubelet("active"); return host.Output{}, nil })
	w.OnFunc("systemctl restart kubelet.service", func(host.Command) (host.Output, error) { w.kubelet("active"); return host.Output{}, nil })
	w.OnFunc("systemctl stop kubelet.service", func(host.Command) (host.Output, error) { w.kubelet("inactive"); return host.Output{}, nil })
	w.put("/proc/1/comm", "systemd\n")
	return w
}

func (w *world) kubelet(state string) {
	w.OnUnit(kubeletUnit, "LoadState=loaded", "ActiveState="+state, "UnitFileState=enabled")
}

func (w *world) newKey() *ecdsa.PrivateKey {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

// sign makes a certificate, valid for an hour unless the template says until when.
func (w *world) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	w.t.Helper()
	if parent == nil {
		parent = template
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-48 * time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), w.caKey)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return cert
}

func certPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func (w *world) keyPEM(k *ecdsa.PrivateKey) string {
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

// client makes a client's certificate and key.
func (w *world) client(name string, until time.Time) (cert, key string) {
	k := w.newKey()
	return certPEM(w.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, w.ca, k)), w.keyPEM(k)
}

// put writes a file past the gate, as another program does; there reads one.
func (w *world) put(path, content string) {
	w.t.Helper()
	real := filepath.Join(w.root, path)
	if err := os.MkdirAll(filepath.Dir(real), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(real, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) there(path string) bool {
	_, err := os.Stat(filepath.Join(w.root, path))
	return err == nil
}

func (w *world) read(path string) string {
	raw, err := os.ReadFile(filepath.Join(w.root, path))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(raw)
}

func (w *world) kubeconfig(path, server string, user *clientcmdapi.AuthInfo) {
	w.t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters["kubernetes"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: []byte(certPEM(w.ca))}
	c.AuthInfos["user"] = user
	c.Contexts["c"] = &clientcmdapi.Context{Cluster: "kubernetes", AuthInfo: "user"}
	c.CurrentContext = "c"
	raw, err := clientcmd.Write(*c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(path, string(raw))
}

func (w *world) adminConfig(path, server string) {
	cert, key := w.client("kubernetes-admin", time.Time{})
	w.kubeconfig(path, server, &clientcmdapi.AuthInfo{ClientCertificateData: []byte(cert), ClientKeyData: []byte(key)})
}

// joinKubelet leaves what a kubelet leaves that has bootstrapped itself.
func (w *world) joinKubelet(server string, until time.Time) {
	cert, key := w.client("system:node:cp2", until)
	w.put(rotated, cert+key)
	w.kubeconfig(kubeletConf, server, &clientcmdapi.AuthInfo{ClientCertificate: rotated, ClientKey: rotated})
}

// makeControlPlane leaves what kubeadm leaves of a control plane, up to the
// number of steps given: authorities, leaves, kubeconfigs, manifests.
func (w *world) makeControlPlane(steps int, shared string) {
	own := w.server.URL
	if steps > 0 {
		w.put(caCert, certPEM(w.ca))
		w.put(pkiDir+"/ca.key", w.keyPEM(w.caKey))
		w.put(pkiDir+"/front-proxy-ca.crt", certPEM(w.ca))
		w.put(pkiDir+"/front-proxy-ca.key", w.keyPEM(w.caKey))
		w.put(pkiDir+"/sa.key", w.keyPEM(w.caKey))
		w.put(pkiDir+"/sa.pub", w.keyPEM(w.caKey))
	}
	if steps > 1 {
		for _, l := range leaves(false) {
			cert, key := w.client(l.name, time.Time{})
			w.put(l.first(), key)
			w.put(l.second(), cert)
		}
	}
	if steps > 2 {
		w.adminConfig(adminConf, shared)
		w.adminConfig(kubernetesDir+"/controller-manager.conf", own)
		w.adminConfig(kubernetesDir+"/scheduler.conf", own)
	}
	if steps > 3 {
		for _, m := range []string{apiserverManifest, controlPlanePorts["10257"], controlPlanePorts["10259"]} {
			w.put(m, "kind: Pod\n")
		}
		w.kubelet("active")
	}
}

// env opens the host anew, as every agent does.
func (w *world) env(options ...hosttest.Options) node.Env {
	w.Reset()
	return node.Env{Host: hosttest.Open(w.t, w.root, w, options...), Progress: func(format string, args ...any) {
		if strings.Contains(format, "s3cr3t") {
			w.t.Errorf("progress tells a secret")
		}
	}}
}

// ran are the commands of kubeadm and systemctl that were run.
func (w *world) ran() string { return strings.Join(w.Lines(), "|") }

// secretsStayIn fails when a secret is where it must not be: in an argument, the
// ledger, or a file other than those that are to hold it.
func (w *world) secretsStayIn() {
	w.t.Helper()
	for _, c := range w.Calls() {
		for _, a := range c.Argv {
			if strings.Contains(a, "s3cr3t") || strings.Contains(a, testKey) {
				w.t.Errorf("a secret is in the arguments %v", c.Argv)
			}
		}
	}
	err := filepath.WalkDir(filepath.Join(w.root, host.StateDir), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if strings.Contains(string(raw), "s3cr3t") || strings.Contains(string(raw), testKey) {
			w.t.Errorf("a secret is in %s", path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}
