package etcdmember

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRealEtcdReadsTheConfig lets the etcd that the environment variable ETCD
// names read the file: it gets as far as the certificates, which are no PEM here.
func TestRealEtcdReadsTheConfig(t *testing.T) {
	binary := os.Getenv("ETCD")
	if binary == "" {
		t.Skip("ETCD does not name an etcd binary")
	}
	dir := t.TempDir()
	s := testSpec()
	s.Members, s.Address = map[string]string{"a": "127.0.0.1"}, "127.0.0.1"
	s.Args = map[string]string{"auto-compaction-retention": "8", "heartbeat-interval": "150", "pre-vote": "true", "log-level": "info"}
	raw, err := s.config()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("/etc/etcd/pki", dir, "/var/lib/etcd", dir+"/data").Replace(string(raw))
	config := filepath.Join(dir, "etcd.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--config-file", config)
	done := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() }) // it ends by itself, or the test fails below
	defer done.Stop()
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("etcd ended well without any certificate")
	}
	for _, want := range []string{`"name":"a"`, `"listen-peer-urls":["https://127.0.0.1:2380"]`, "client-cert-auth = true",
		"cert = " + dir + "/peer.crt, key = " + dir + "/peer.key", "trusted-ca = " + dir + "/ca.crt", "peer.crt: no such file"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("etcd's log has no %s", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
