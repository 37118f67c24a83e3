package etcdmember

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRealEtcdTakesTheSettings lets the etcd that the environment variable ETCD names
// read its environment as systemd gives it: it gets as far as the certificates, which
// are not there. Durations are the flags' own, and a flag that the configuration file
// has no key for is in force.
func TestRealEtcdTakesTheSettings(t *testing.T) {
	binary := os.Getenv("ETCD")
	if binary == "" {
		t.Skip("ETCD does not name an etcd binary")
	}
	dir := t.TempDir()
	s := testSpec()
	s.Members, s.Address, s.DataDir = map[string]string{"a": "127.0.0.1"}, "127.0.0.1", filepath.Join(dir, "data")
	s.Args = map[string]string{"auto-compaction-retention": "8", "heartbeat-interval": "150", "pre-vote": "true", "log-level": "info",
		"grpc-keepalive-timeout": "33s", "client-crl-file": dir + "/crl.pem", "cipher-suites": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}
	cmd := exec.Command(binary)
	for _, line := range environmentOf(t, s) {
		cmd.Env = append(cmd.Env, strings.ReplaceAll(line, PKIDir, dir))
	}
	done := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() }) // it ends by itself, or the test fails below
	defer done.Stop()
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("etcd ended well without any certificate")
	}
	for _, want := range []string{`"name":"a"`, `"listen-peer-urls":["https://127.0.0.1:2380"]`, "client-cert-auth = true",
		"cert = " + dir + "/peer.crt, key = " + dir + "/peer.key", "trusted-ca = " + dir + "/ca.crt", "peer.crt: no such file",
		"ETCD_GRPC_KEEPALIVE_TIMEOUT", "ETCD_CLIENT_CRL_FILE"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("etcd's log has no %s", want)
		}
	}
	for _, bad := range []string{"unrecognized environment variable", "conflicting"} {
		if strings.Contains(string(out), bad) {
			t.Errorf("etcd's log has: %s", bad)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// environmentOf is what systemd makes of the file.
func environmentOf(t *testing.T, s Spec) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(string(s.config())) {
		name, quoted, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out = append(out, name+"="+value)
	}
	return out
}
