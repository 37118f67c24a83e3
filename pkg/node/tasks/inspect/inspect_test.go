package inspect

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// pair is a certificate of its own making, and its key, PEM.
func pair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().Add(90 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func put(t *testing.T, root, name string, content []byte) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	root := t.TempDir()
	cert, key := pair(t, "kube-apiserver")
	put(t, root, "etc/kubernetes/pki/apiserver.crt", cert)
	put(t, root, "etc/kubernetes/pki/apiserver.key", key)
	put(t, root, "var/lib/kubelet/pki/kubelet-client-2026-01-01.pem", append(cert, key...))
	put(t, root, "var/lib/kubelet/pki/kubelet-client-current.pem", append(key, cert...))
	put(t, root, "etc/kubernetes/scheduler.conf", []byte("clusters: [{cluster: {server: 'https://192.0.2.1:6443'}}]\nusers: [{user: {client-certificate-data: "+
		base64.StdEncoding.EncodeToString(cert)+", client-key-data: "+base64.StdEncoding.EncodeToString(key)+"}}]\n"))
	put(t, root, "etc/etcd/etcd.env", []byte("ETCD_STRICT_RECONFIG_CHECK=\"false\"\nETCD_QUOTA_BACKEND_BYTES=\"8589934592\"\n"))
	put(t, root, "etc/keepalived/keepalived.conf", []byte("vrrp_instance x {\n unicast_peer {\n 192.0.2.2\n 192.0.2.3\n }\n}\n"))
	put(t, root, "run/kubectl-ha/holder", []byte("1\n"))
	put(t, root, "run/kubectl-ha/apiserver", []byte("1\n"))
	put(t, root, "run/kubectl-ha/drain", []byte("1\n"))
	put(t, root, "etc/haproxy/haproxy.cfg", []byte("defaults\n  timeout connect 5s\n  timeout client 4h\n  timeout server 50s\n"))
	h, err := host.Open(host.Options{Root: root, Commands: running(t)})
	if err != nil {
		t.Fatal(err)
	}
	env := node.Env{Host: h, Progress: func(string, ...any) {}, Sink: report.SinkFunc(func(report.Event) {})}
	out, err := Run(t.Context(), env, Spec{VirtualIP: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, c := range f.Certificates {
		files = append(files, c.File)
		if c.Subject != "CN=kube-apiserver" || time.Until(c.NotAfter) > 90*time.Hour || time.Until(c.NotAfter) < 80*time.Hour {
			t.Errorf("got %+v", c)
		}
	}
	if got := strings.Join(files, " "); got != "/etc/kubernetes/pki/apiserver.crt /var/lib/kubelet/pki/kubelet-client-current.pem /etc/kubernetes/scheduler.conf" {
		t.Errorf("certificates of %s", got)
	}
	if f.Kubeconfigs["/etc/kubernetes/scheduler.conf"] != "https://192.0.2.1:6443" || f.EtcdConfig == nil || f.EtcdConfig.StrictReconfig || f.EtcdConfig.QuotaBytes != 8<<30 {
		t.Errorf("got %+v", f)
	}
	if v := f.VIP; v == nil || !v.Here || v.Since == nil || v.APIServer != "sick" || !v.Draining || !v.Unicast || v.Peers != 2 {
		t.Errorf("got %+v", v)
	}
	if f.Timeouts["client"] != "4h" || f.Timeouts["server"] != "50s" || len(f.Timeouts) != 2 {
		t.Errorf("got %v", f.Timeouts)
	}
	if f.Units["etcd.service"] != "active" || len(f.Missed) > 0 {
		t.Errorf("units %v, missed %v", f.Units, f.Missed)
	}
	if strings.Contains(string(raw), "PRIVATE") || strings.Contains(string(raw), base64.StdEncoding.EncodeToString(key)[60:90]) {
		t.Error("a key is in the result")
	}
}

// running answers for systemd that everything runs.
func running(t *testing.T) host.Commander {
	c := hosttest.NewCommander(t)
	for _, name := range units {
		c.OnUnit(name, "LoadState=loaded", "ActiveState=active")
	}
	return c
}

func TestNothingThere(t *testing.T) {
	c := hosttest.NewCommander(t)
	for _, name := range units {
		c.OnUnit(name, "LoadState=not-found", "ActiveState=inactive")
	}
	h, err := host.Open(host.Options{Root: t.TempDir(), Commands: c})
	if err != nil {
		t.Fatal(err)
	}
	out, err := Run(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}, Sink: report.SinkFunc(func(report.Event) {})}, Spec{EtcdEndpoints: []string{"https://192.0.2.1:2379"}})
	f, ok := out.(Facts)
	if err != nil || !ok {
		t.Fatalf("%T, %v", out, err)
	}
	if len(f.Missed) > 0 || f.VIP != nil || f.EtcdConfig != nil || len(f.Units) > 0 || !strings.Contains(f.EtcdError, "login to etcd") {
		t.Errorf("got %+v", f)
	}
}
