package upgrade

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const stackedManifest = "kind: Pod\nspec:\n  containers:\n  - name: etcd\n    image: registry.k8s.io/etcd:%s\n    command:\n    - etcd\n    - --data-dir=/data/etcd\n"

func etcdPodAt(tag string) string { return strings.Replace(stackedManifest, "%s", tag, 1) }

// stack puts kubeadm's own etcd on the host.
func (w *world) stack(tag string) {
	w.put(manifest(etcdComponent), etcdPodAt(tag))
	pair := w.issue()
	w.put(pkiDir+"/etcd/server.crt", string(pair.CertPEM))
	w.put(pkiDir+"/etcd/server.key", string(pair.KeyPEM))
	w.put("/data/etcd/member/snap/db", strings.Repeat("x", 2<<20))
}

// TestStackedIsKept: of kubeadm's own etcd the manifest and certificates are kept; what is missing comes back, and a
// new manifest stays, since the old member may not read what the new one has written.
func TestStackedIsKept(t *testing.T) {
	w := newWorld(t, true)
	h := w.env().Host
	if files, err := touched(h, controlPlanePart, false); err != nil || slices.Contains(files, manifest(etcdComponent)) {
		t.Fatalf("external: %v, %v", files, err)
	}
	w.stack("3.6.6-0")
	files, err := touched(h, controlPlanePart, false)
	if err != nil || !slices.Contains(files, manifest(etcdComponent)) || !slices.Contains(files, pkiDir+"/etcd/server.key") {
		t.Fatalf("stacked: %v, %v", files, err)
	}
	k, err := keep(t.Context(), h, oldVersion, controlPlanePart, files)
	if err != nil {
		t.Fatal(err)
	}
	w.put(manifest(etcdComponent), etcdPodAt("3.6.8-0"))
	other := w.issue()
	w.put(pkiDir+"/etcd/server.crt", string(other.CertPEM)) // Half of a renewal.
	if _, err := k.takeBack(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if got := w.read(manifest(etcdComponent)); got != etcdPodAt("3.6.8-0") {
		t.Errorf("the new manifest was taken back:\n%s", got)
	}
	if w.read(pkiDir+"/etcd/server.crt") == string(other.CertPEM) {
		t.Error("half a pair is still there")
	}
	// kubeadm moves the old one away before it moves the new one there.
	w.remove(manifest(etcdComponent))
	if _, err := k.mend(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if got := w.read(manifest(etcdComponent)); got != etcdPodAt("3.6.6-0") {
		t.Errorf("the manifest that was missing:\n%s", got)
	}
}

// TestEtcdCopies: there has to be room for kubeadm's copy of the data, which goes when the new member serves.
func TestEtcdCopies(t *testing.T) {
	w := newWorld(t, true)
	h := w.env().Host
	free := func(n int64) func(string) (int64, error) { return func(string) (int64, error) { return n, nil } }
	if err := checkEtcdRoom(h, free(0)); err != nil {
		t.Errorf("external: %v", err)
	}
	w.stack("3.6.6-0")
	if err := checkEtcdRoom(h, free(reserve+1<<20)); err == nil || !strings.Contains(err.Error(), "etcd's data (2 MB)") || host.Hint(err) == "" {
		t.Errorf("no room: %v", err)
	}
	if err := checkEtcdRoom(h, free(reserve+3<<20)); err != nil {
		t.Errorf("room: %v", err)
	}
	for _, f := range []string{kubeadmTmp + "/" + etcdCopy + "2026-11-30/etcd/member/snap/db", kubeadmTmp + "/kubeadm-backup-manifests-x/etcd.yaml"} {
		w.put(f, "x")
	}
	if err := DropEtcdCopies(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if w.there(kubeadmTmp+"/"+etcdCopy+"2026-11-30") || !w.there(kubeadmTmp+"/kubeadm-backup-manifests-x/etcd.yaml") {
		t.Error("the copy stayed, or more went")
	}
}

// TestTimeForEtcd: kubeadm is not ended in the middle of what it may do: each of four components takes up to five minutes,
// and etcd is asked for ten times, 15 seconds apart, after its exchange and after two ways back.
// https://github.com/kubernetes/kubernetes/blob/v1.36.3/cmd/kubeadm/app/phases/upgrade/staticpods.go
func TestTimeForEtcd(t *testing.T) {
	const needs = 4*5*time.Minute + 3*10*15*time.Second
	if controlPlaneKubeadm < needs || ControlPlaneTimeout < controlPlaneKubeadm+4*time.Minute || abandonedAfter < 2*ControlPlaneTimeout {
		t.Errorf("kubeadm %s (needs %s), task %s, abandoned after %s", controlPlaneKubeadm, needs, ControlPlaneTimeout, abandonedAfter)
	}
}
