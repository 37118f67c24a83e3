package kubeletcert

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// TestForget removes what the kubelet got from the cluster, and nothing else.
func TestForget(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, pkiDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kubelet.crt", "kubelet-client-current.pem", "kubelet-server-2026-01-01.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("kubelet-server-2026-01-01.pem", filepath.Join(dir, "kubelet-server-current.pem")); err != nil {
		t.Fatal(err)
	}
	ledger, err := host.OpenLedger(root, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ledger.Close() }() // Only the test's.
	h, err := host.Open(host.Options{Root: root, Ledger: ledger})
	if err != nil {
		t.Fatal(err)
	}
	if err := forget(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 || left[0].Name() != "kubelet-client-current.pem" || left[1].Name() != "kubelet.crt" {
		t.Errorf("left are %v, %v", left, err)
	}
	if err := forget(t.Context(), h); err != nil {
		t.Errorf("a second time: %v", err)
	}
}
