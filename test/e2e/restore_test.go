//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// restore goes back to the backup of the last upgrade, which the snapshot believes to be under way:
// what was written before it is there again, what was written since is gone, and the upgrade that
// the snapshot believes in is ended.
func (w *withstand) restore(t *testing.T) {
	w.write(t, "since", "the backup")
	name := w.newestBackup(t)
	r := w.ha(t, restoreDeadline, "etcd", "restore", name, "-f", w.file, "--yes", "-o", "json")
	if r.code != 0 {
		t.Fatalf("etcd restore %s: %s", name, tail(r.String(), 8000))
	}
	if !strings.Contains(r.stdout, `"ended":["`+name+`"]`) {
		t.Errorf("the upgrade %s was not ended: %s", name, tail(r.stdout, 2000))
	}
	w.restored(t)
}

// newestBackup is the name of the newest backup on the hosts.
func (w *withstand) newestBackup(t *testing.T) string {
	t.Helper()
	r := w.ha(t, suiteDeadline, "backup", "list", "--kubeconfig", w.kubeconfig, "-o", "json")
	var list []struct{ Name string }
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list) == 0 {
		t.Fatalf("backup list: %v %s", err, r)
	}
	return list[0].Name
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
