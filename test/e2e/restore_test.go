//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The commands of docs/disaster-recovery.md, one text for each of its steps that is
// more than a command.
const (
	stopServers = `set -eu
mkdir -p -m 700 /etc/kubernetes/stopped
mv /etc/kubernetes/manifests/kube-*.yaml /etc/kubernetes/stopped/
for n in $(seq 120); do ss -Hltn 'sport = :6443' | grep -q . || exit 0; sleep 1; done
echo the apiserver does not end >&2; exit 1`

	putAside = `set -eu
systemctl stop etcd
DATA=/var/lib/etcd
mv $DATA/member $DATA/member.before-restore`

	restoreMember = `set -eu
DATA=/var/lib/etcd
. /etc/etcd/etcd.env
etcdutl snapshot restore /var/lib/kubectl-ha/restore.db \
    --data-dir $DATA/restored \
    --name "$ETCD_NAME" \
    --initial-cluster "$ETCD_INITIAL_CLUSTER" \
    --initial-cluster-token "$ETCD_INITIAL_CLUSTER_TOKEN-restored-1" \
    --initial-advertise-peer-urls "$ETCD_INITIAL_ADVERTISE_PEER_URLS" \
    --bump-revision 1000000000 --mark-compacted
mv $DATA/restored/member $DATA/member && rmdir $DATA/restored
chown -R etcd:etcd $DATA/member`

	startRest = `set -eu
for f in /etc/kubernetes/stopped/kube-*.yaml; do
    [ ! -e "$f" ] || mv "$f" /etc/kubernetes/manifests/
done
systemctl restart kubelet`
)

// restore carries out docs/disaster-recovery.md: every member goes back to the snapshot
// of the last upgrade's backup. What was written before it is there again, what was
// written since is gone, and the upgrade that the snapshot believes in is ended.
func (w *withstand) restore(t *testing.T) {
	w.write(t, "since", "the backup")
	source := w.snapshot(t)
	members, servers := w.members(t), w.names("control-plane")
	each := func(hosts []string, script string) {
		t.Helper()
		for _, h := range hosts {
			w.script(t, h, script)
		}
	}
	local := filepath.Join(t.TempDir(), "restore.db")
	w.run(t, "cp", source, local)
	for _, m := range members {
		w.run(t, "cp", local, m+":/var/lib/kubectl-ha/restore.db")
		w.exec(t, m, "chmod", "600", "/var/lib/kubectl-ha/restore.db")
	}
	each(servers, stopServers)
	each(members, putAside)
	each(members, restoreMember)
	for _, m := range members {
		w.exec(t, m, "systemctl", "start", "--no-block", "etcd")
	}
	for _, m := range members {
		eventually(t, time.Minute, m+"'s etcd member is healthy", func() (bool, string) {
			r := w.etcdctl(t, m, "endpoint", "health")
			return r.code == 0, r.String()
		})
	}
	w.endUnfinished(t, servers[0])
	each(servers, startRest)
	for _, h := range w.names("worker") {
		w.exec(t, h, "systemctl", "restart", "kubelet")
	}
	w.settled(t)
	if got := w.read(t, "before"); got != "all of it" {
		t.Errorf("what was written before the backup reads %q", got)
	}
	if _, err := w.client.CoreV1().ConfigMaps("default").Get(context.Background(), "since", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what was written since the backup: %v", err)
	}
	w.write(t, "again", "yes")
	for _, m := range members {
		w.exec(t, m, "rm", "-rf", "/var/lib/etcd/member.before-restore", "/var/lib/kubectl-ha/restore.db")
	}
}

// snapshot is where the newest backup's snapshot is, as the lab names files on hosts.
func (w *withstand) snapshot(t *testing.T) string {
	t.Helper()
	r := w.ha(t, suiteDeadline, "backup", "list", "--kubeconfig", w.kubeconfig, "-o", "json")
	var list []struct{ Name, Node string }
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list) == 0 {
		t.Fatalf("backup list: %v %s", err, r)
	}
	return list[0].Node + ":/var/lib/kubectl-ha/backups/" + list[0].Name + "/etcd-snapshot.db"
}

// script runs a text of the document on a host.
func (w *withstand) script(t *testing.T, host, text string) {
	t.Helper()
	if r := w.try(t, host, []byte(text), "sh", "-s"); r.code != 0 {
		t.Fatalf("%s: %s\n%s", host, text, r)
	}
}

// endUnfinished starts one apiserver alone, and ends the Operation that the snapshot
// was taken in before anybody acts on it.
func (w *withstand) endUnfinished(t *testing.T, host string) {
	t.Helper()
	address := ""
	for _, h := range w.cached.Hosts {
		if h.Name == host {
			address = h.Address
		}
	}
	kubectl := func(args ...string) result {
		return w.try(t, host, nil, append([]string{"kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "--server", "https://" + address + ":6443"}, args...)...)
	}
	w.exec(t, host, "mv", "/etc/kubernetes/stopped/kube-apiserver.yaml", "/etc/kubernetes/manifests/")
	eventually(t, 3*time.Minute, "the apiserver of "+host+" is ready", func() (bool, string) {
		r := kubectl("get", "--raw", "/readyz")
		return r.code == 0, r.String()
	})
	for _, line := range strings.Split(strings.TrimSpace(kubectl("get", "operations.kubectl-ha.dev", "--no-headers").stdout), "\n") {
		t.Logf("in the snapshot: %s", line)
	}
	if r := kubectl("--namespace", "ha-system", "delete", "jobs", "--all", "--cascade=foreground", "--wait=false"); r.code != 0 {
		t.Fatal(r)
	}
	for _, name := range strings.Fields(kubectl("get", "operations.kubectl-ha.dev", "-o", "jsonpath={range .items[?(@.spec.type=='Upgrade')]}{.metadata.name} {end}").stdout) {
		if r := kubectl("delete", "operations.kubectl-ha.dev", name, "--wait=false"); r.code != 0 {
			t.Fatal(r)
		}
	}
}

// reusedWithstand goes on with the cluster that an earlier run with E2E_KEEP left, by
// the folder that it left.
func reusedWithstand(t *testing.T, dir string) *withstand {
	t.Helper()
	l := &lab{name: "e2e-withstand", dir: dir, version: suite.other}
	l.cached = l.status(t)
	files, err := filepath.Glob(filepath.Join(dir, "cluster-*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no Cluster file in %s: %v", dir, err)
	}
	c := &cluster{lab: l, file: files[0], kubeconfig: filepath.Join(dir, "withstand.kubeconfig"), vip: l.cached.VirtualIP}
	c.connect(t)
	w := &withstand{cluster: c, first: os.Getenv("E2E_FIRST"), second: os.Getenv("E2E_SECOND"), third: os.Getenv("E2E_THIRD")}
	c.bundle(t)
	w.bundle = (&lab{name: l.name, dir: dir, version: suite.version, cached: l.cached}).bundle(t)
	return w
}
