package backup

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// startEtcd starts the etcd that the environment variable ETCD names, and puts
// certificates for it on the host. stop ends it.
func startEtcd(t *testing.T, root string) (url string, stop func()) {
	t.Helper()
	binary := os.Getenv("ETCD")
	if binary == "" {
		t.Skip("ETCD does not name an etcd binary")
	}
	ca, err := pki.NewCA("etcd", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := pki.Issue(ca, pki.Request{CommonName: "m", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Client: true, Validity: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	h := env(t, root).Host
	for _, files := range [][]string{
		{etcdmember.PKIDir + "/ca.crt", etcdmember.PKIDir + "/server.crt", etcdmember.PKIDir + "/server.key"},
		{kubeadm.EtcdCAFile, kubeadm.EtcdClientCertFile, kubeadm.EtcdClientKeyFile},
	} {
		for i, content := range [][]byte{ca.CertPEM, pair.CertPEM, pair.KeyPEM} {
			hosttest.Write(t, h, files[i], string(content), 0o600)
		}
	}
	var addresses []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, "https://"+l.Addr().String())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// etcd reads its own at each handshake, also after the test has removed the host's.
	dir := t.TempDir()
	for name, content := range map[string][]byte{"ca.crt": ca.CertPEM, "server.crt": pair.CertPEM, "server.key": pair.KeyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(binary, "--name", "m", "--data-dir", filepath.Join(t.TempDir(), "data"), "--logger", "zap", "--log-outputs", "/dev/null",
		"--listen-client-urls", addresses[0], "--advertise-client-urls", addresses[0],
		"--listen-peer-urls", addresses[1], "--initial-advertise-peer-urls", addresses[1], "--initial-cluster", "m="+addresses[1],
		"--client-cert-auth", "--trusted-ca-file", dir+"/ca.crt", "--cert-file", dir+"/server.crt", "--key-file", dir+"/server.key",
		"--peer-client-cert-auth", "--peer-trusted-ca-file", dir+"/ca.crt", "--peer-cert-file", dir+"/server.crt", "--peer-key-file", dir+"/server.key")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }() // it is killed: how it ends is of no interest
	stop = func() { _ = cmd.Process.Kill(); <-done }
	t.Cleanup(stop)
	client, err := etcd.Connect(t.Context(), addresses[:1], etcd.TLS{CA: ca.CertPEM, Cert: pair.CertPEM, Key: pair.KeyPEM})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // it has told all it was asked
	if _, err := client.WaitHealthy(t.Context(), time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	return addresses[0], stop
}

// TestRealEtcd backs a real etcd up, as a member and as a control plane that is none.
func TestRealEtcd(t *testing.T) {
	root := newRoot(t)
	url, stop := startEtcd(t, root)
	h := env(t, root).Host
	// Who had no snapshot before gets one.
	run(t, root, Spec{Operation: "a"})
	first := run(t, root, Spec{Operation: "a", Endpoints: []string{url}})
	if s := first.Snapshot; first.Already || s == nil || s.Endpoint != url || s.Revision == 0 || s.Bytes == 0 {
		t.Fatalf("the first run: %+v", first)
	}
	if err := os.RemoveAll(h.Path(etcdmember.PKIDir)); err != nil {
		t.Fatal(err)
	}
	second := run(t, root, Spec{Operation: "b", Endpoints: []string{"https://127.0.0.1:1", url}})
	if s := second.Snapshot; s == nil || s.Endpoint != url {
		t.Errorf("with the certificates of an apiserver: %+v", second)
	}
	if got, err := etcd.CheckSnapshot(t.Context(), h.Path(Dir+"/b/"+SnapshotName)); err != nil || got.SHA256 != second.Snapshot.SHA256 {
		t.Errorf("%+v, %v", got, err)
	}
	restore(t, h.Path(Dir+"/b/"+SnapshotName))

	// Afterwards as before, when etcd is away: nothing new, nothing lost.
	stop()
	if _, err := Run(t.Context(), env(t, root), Spec{Operation: "c", Endpoints: []string{url}}); err == nil || !strings.Contains(err.Error(), url) {
		t.Errorf("without etcd: %v", err)
	}
	if data := run(t, root, Spec{Operation: "b", Endpoints: []string{url}}); !data.Already {
		t.Errorf("what was done was done again: %+v", data)
	}
	if got := listed(t, root); len(got.Backups) != 2 {
		t.Errorf("listed: %+v", got)
	}
	if err := os.Remove(h.Path(kubeadm.EtcdClientKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), env(t, root), Spec{Operation: "c", Endpoints: []string{url}}); err == nil || !strings.Contains(err.Error(), "no certificates") {
		t.Errorf("without certificates: %v", err)
	}
}

// restore has etcd's own program, when it lies beside etcd, restore a snapshot.
func restore(t *testing.T, path string) {
	t.Helper()
	program := filepath.Join(filepath.Dir(os.Getenv("ETCD")), "etcdutl")
	if _, err := os.Stat(program); err != nil {
		t.Logf("no restore: %v", err)
		return
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if out, err := exec.Command(program, "snapshot", "restore", path, "--data-dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("etcdutl: %v\n%s", err, out)
	}
}
