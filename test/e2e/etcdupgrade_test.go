//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/test/lab/build"
)

// etcdDeadline bounds two rounds of three members each, with their backups and gates.
const etcdDeadline = 25 * time.Minute

// etcdReport is what the tests need of `etcd status -o json`.
type etcdReport struct {
	Version    string `json:"version"`
	Quorum     bool   `json:"quorum"`
	Unwell     string `json:"unwell"`
	LastBackup *struct {
		Name string `json:"name"`
	} `json:"lastBackup"`
	Members []struct {
		Host           string `json:"host"`
		Version        string `json:"version"`
		StorageVersion string `json:"storageVersion"`
		Leader         bool   `json:"leader"`
		DBBytes        int64  `json:"dbBytes"`
		QuotaBytes     int64  `json:"quotaBytes"`
	} `json:"members"`
}

// TestEtcdUpgrade brings etcd of a cluster of the older Kubernetes version from 3.5 to 3.7 in two
// rounds of one plan, as an Operation, and back to 3.6, while it is written to and asked through the virtual IP: no
// request fails, and no acknowledged write is lost.
func TestEtcdUpgrade(t *testing.T) {
	l := ownLab(t, "e2e-etcdup", suite.other, labSize{controlPlanes: 3, workers: 1})
	c := l.withEtcd(t)
	c.etcdUpgraded(t, "--kubeconfig", c.kubeconfig)
}

// TestEtcdUpgradeApart is TestEtcdUpgrade with members on hosts of their own, over SSH.
func TestEtcdUpgradeApart(t *testing.T) {
	l := ownLab(t, "e2e-etcdap", suite.other, labSize{controlPlanes: 2, workers: 1, etcd: 3})
	c := l.withEtcd(t)
	if r := c.ha(t, suiteDeadline, "etcd", "upgrade", build.UpgradeEtcd()[1], "--yes", "--kubeconfig", c.kubeconfig); r.code == 0 || !strings.Contains(r.stderr, "pass the Cluster file with -f") {
		t.Errorf("without the file: %s", r)
	}
	c.etcdUpgraded(t, "-f", c.file, "--kubeconfig", c.kubeconfig)
}

// withEtcd makes a cluster with the oldest of etcd's versions.
func (l *lab) withEtcd(t *testing.T) *cluster {
	t.Helper()
	oldest := build.UpgradeEtcd()[0]
	c := l.cluster(t, l.name, l.file(t, func(text string) string {
		return strings.Replace(text, "\nspec:\n", "\nspec:\n  etcd: {version: "+oldest+"}\n", 1)
	}))
	r := c.ha(t, 10*time.Minute, "bootstrap", "-f", c.file, "--bundle", l.etcdBundle(t, oldest), "--yes", "-o", "json", "--kubeconfig-out", c.kubeconfig)
	if r.code != 0 {
		t.Fatalf("bootstrap: %s\n%s", tail(r.stdout, 4000), r.stderr)
	}
	c.connect(t)
	c.settled(t)
	return c
}

// etcdBundle makes the bundle with etcd of a version.
func (l *lab) etcdBundle(t *testing.T, version string) string {
	t.Helper()
	key := l.version + "-etcd-" + version
	if out := suite.bundles[key]; out != "" {
		return out
	}
	out := filepath.Join(suite.dir, "bundle-"+key+".tar")
	if r := l.ha(t, 5*time.Minute, "bundle", "create", "--kubernetes-version", l.version, "--etcd-version", version, "--mirror", l.cached.Mirror, "--trust-mirror", "--out", out); r.code != 0 {
		t.Fatalf("bundle create: %s", r)
	}
	suite.bundles[key] = out
	return out
}

// etcdUpgraded goes all the way; way are the flags by which the cluster is reached.
func (c *cluster) etcdUpgraded(t *testing.T, way ...string) {
	t.Helper()
	versions := build.UpgradeEtcd()
	oldest, middle, newest := versions[0], versions[1], versions[2]
	etcd := func(deadline time.Duration, args ...string) result {
		t.Helper()
		return c.ha(t, deadline, append(append([]string{"etcd"}, args...), way...)...)
	}
	c.etcdAt(t, oldest, way)
	if r := etcd(suiteDeadline, "upgrade", newest, "--yes"); r.code == 0 || !strings.Contains(r.stderr, "one minor version at a time") {
		t.Errorf("two minor versions at once: %s", r)
	}
	if r := etcd(suiteDeadline, "upgrade", middle, "--dry-run"); r.code != 0 || !strings.Contains(r.stdout, "leader") {
		t.Errorf("the plan: %s", r)
	}
	c.etcdAt(t, oldest, way) // Nothing was changed.
	unused, writes := c.inUse(t), c.writer(t)
	start := time.Now()
	if r := etcd(etcdDeadline, "upgrade", newest, "--via", middle, "--bundle", c.etcdBundle(t, middle), "--bundle", c.etcdBundle(t, newest), "--yes", "-o", "json"); r.code != 0 {
		t.Fatalf("etcd upgrade: %s\n%s", tail(r.stdout, 6000), r.stderr)
	}
	t.Logf("two rounds took %s", time.Since(start).Round(time.Second))
	c.etcdAt(t, newest, way)
	if r := etcd(etcdDeadline, "downgrade", middle, "--bundle", c.etcdBundle(t, middle), "--yes", "-o", "json"); r.code != 0 {
		t.Fatalf("etcd downgrade: %s\n%s", tail(r.stdout, 6000), r.stderr)
	}
	c.etcdAt(t, middle, way)
	for _, args := range [][]string{{"defrag", "--threshold", "0%", "--yes"}, {"check"}, {"alarm"}} {
		if r := etcd(suiteDeadline, args...); r.code != 0 {
			t.Errorf("etcd %v: %s", args, r)
		}
	}
	written := writes()
	unused() // It wants all requests answered.
	t.Logf("%d writes were acknowledged", len(written))
	for _, name := range written {
		if _, err := c.client.CoreV1().ConfigMaps("default").Get(context.Background(), name, metav1.GetOptions{}); err != nil {
			t.Errorf("an acknowledged write is gone: %v", err)
		}
	}
	if r := etcd(suiteDeadline, "upgrade", middle, "--yes"); r.code != 0 || !strings.Contains(r.stdout, "nothing to do") {
		t.Errorf("the same again: %s", r)
	}
	c.settled(t)
}

// etcdAt finds every member well, at a version, and etcd as a whole too.
func (c *cluster) etcdAt(t *testing.T, version string, way []string) {
	t.Helper()
	r := c.ha(t, suiteDeadline, append([]string{"etcd", "status", "-o", "json"}, way...)...)
	var seen etcdReport
	if err := json.Unmarshal([]byte(r.stdout), &seen); err != nil || r.code != 0 || !seen.Quorum || len(seen.Members) != 3 {
		t.Fatalf("etcd status: %v %s", err, r)
	}
	leaders := 0
	for _, m := range seen.Members {
		if m.Leader {
			leaders++
		}
		if "v"+m.Version != version || m.DBBytes == 0 || m.QuotaBytes == 0 || m.StorageVersion != "" && !strings.HasPrefix(version, "v"+m.StorageVersion[:3]) {
			t.Errorf("%+v, want %s", m, version)
		}
	}
	if leaders != 1 {
		t.Errorf("%d members lead: %s", leaders, r.stdout)
	}
	if version != build.UpgradeEtcd()[0] && seen.LastBackup == nil {
		t.Error("no backup was made")
	}
}
