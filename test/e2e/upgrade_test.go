//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// upgradeDeadline bounds a whole upgrade; on a quiet machine it takes six minutes.
const upgradeDeadline = 25 * time.Minute

// upgradeInUse brings a cluster of the older version to the newer one while it is
// written to: every write that was acknowledged is there afterwards; a second upgrade
// meanwhile is refused; each host whose state is at stake has a backup. In `make e2e-full`
// not one request through the virtual IP fails, each on a new connection, and none to an
// application with a budget.
func (c *cluster) upgradeInUse(t *testing.T) {
	t.Helper()
	newer := &lab{name: c.name, dir: c.dir, version: suite.version, stacked: c.stacked, cached: c.cached}
	bundle := newer.bundle(t)
	// Never down.
	if r := c.ha(t, suiteDeadline, "upgrade", "v1.9.2", "--kubeconfig", c.kubeconfig, "--yes"); r.code == 0 || !strings.Contains(r.stdout+r.stderr, "older than "+suite.other) {
		t.Errorf("a downgrade: %s", r)
	}
	unused := func() {}
	if suite.full {
		unused = c.inUse(t)
	}
	start := time.Now()
	writes := c.writer(t)
	c.upgrade(t, bundle)
	t.Logf("the upgrade took %s", time.Since(start).Round(time.Second))
	written := writes()
	unused()
	t.Logf("%d writes were acknowledged", len(written))
	for _, name := range written {
		if _, err := c.client.CoreV1().ConfigMaps("default").Get(context.Background(), name, metav1.GetOptions{}); err != nil {
			t.Errorf("an acknowledged write is gone: %v", err)
		}
	}
	c.settled(t)
	c.checkUpgraded(t)
	c.checkDNSSpread(t)
	c.checkBackups(t)
	if r := c.ha(t, suiteDeadline, "upgrade", suite.version, "--bundle", bundle, "--kubeconfig", c.kubeconfig, "--yes"); r.code != 0 {
		t.Errorf("the same upgrade again: %s", r)
	}
}

// inUse asks, on new connections all the time, through the virtual IP, through the load
// balancer where there is one, and an application with a budget, until the function that it
// returns is called. That wants all requests answered.
func (c *cluster) inUse(t *testing.T) (stop func()) {
	t.Helper()
	p := c.prober(t, c.vip)
	p.every = 50 * time.Millisecond
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	app := c.deployApp(t)
	start := time.Now()
	stopAPI, stopApp, stopBalanced := p.start(), app.start(), func() {}
	if c.balancer {
		stopBalanced = c.balancedInUse(t)
	}
	// A test that fails on its way asks no longer, either.
	t.Cleanup(stopAPI)
	t.Cleanup(stopApp)
	t.Cleanup(stopBalanced)
	return func() {
		stopAPI()
		stopApp()
		stopBalanced()
		if o := app.outageSince(start); o.failed > 0 {
			t.Errorf("the application: %s\n%s", o, app.timeline(start))
		} else {
			t.Logf("the application answered all %d requests", o.requests)
		}
		c.checkLossless(t, p, start)
	}
}

// balancedInUse asks through the load balancer until the function that
// it returns is called, which wants all requests answered and the load balancer well.
func (c *cluster) balancedInUse(t *testing.T) (stop func()) {
	t.Helper()
	p := c.balanced(t)
	p.every = 50 * time.Millisecond
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	start, end := time.Now(), p.start()
	return sync.OnceFunc(func() {
		end()
		if o := p.outageSince(start); o.failed > 0 {
			t.Errorf("through the load balancer: %s\n%s", o, p.timeline(start))
		} else {
			t.Logf("the load balancer answered all %d requests", o.requests)
		}
		c.checkBalancer(t)
	})
}

// checkLossless: no request since a moment has failed; what the virtual IP did
// meanwhile is told when some have.
func (c *cluster) checkLossless(t *testing.T, p *prober, since time.Time) {
	t.Helper()
	o := p.outageSince(since)
	if o.failed == 0 {
		t.Logf("%d requests, none failed", o.requests)
		return
	}
	c.tellVIP(t, since)
	t.Errorf("not lossless: %s\n%s", o, p.timeline(since))
}

// tellVIP logs what the virtual IP did since a moment, and why.
func (c *cluster) tellVIP(t *testing.T, since time.Time) {
	t.Helper()
	for _, h := range c.names("control-plane") {
		t.Logf("%s: %s", h, c.exec(t, h, "journalctl", "--no-pager", "--output=short-precise", "-u", "kubectl-ha-vip", "-u", "keepalived",
			"--since=@"+fmt.Sprint(since.Unix())))
	}
}

// upgrade runs the upgrade to its end; once it is under way a second one is
// refused, by the name of the first.
func (c *cluster) upgrade(t *testing.T, bundle string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), upgradeDeadline)
	defer cancel()
	argv := c.haArgv("upgrade", suite.version, "--bundle", bundle, "--kubeconfig", c.kubeconfig, "--yes")
	run := exec.CommandContext(ctx, argv[0], argv[1:]...)
	run.Dir = c.dir
	var out strings.Builder
	run.Stdout, run.Stderr = &out, &out
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	name := ""
	eventually(t, 5*time.Minute, "the upgrade is under way", func() (bool, string) {
		r := c.ha(t, suiteDeadline, "operation", "list", "--kubeconfig", c.kubeconfig, "-o", "json")
		var list struct{ Items []operationSeen }
		// The API may be busy; the next look tells.
		_ = json.Unmarshal([]byte(r.stdout), &list)
		for _, op := range list.Items {
			if op.Spec.Type == "Upgrade" && op.Status.Phase == "Running" {
				name = op.Metadata.Name
			}
		}
		return name != "", tail(r.String(), 500)
	})
	if r := c.ha(t, suiteDeadline, "upgrade", suite.version, "--bundle", bundle, "--kubeconfig", c.kubeconfig, "--yes"); r.code == 0 || !strings.Contains(r.stderr, name) {
		t.Errorf("a second upgrade beside %s: %s", name, r)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the upgrade: %v\n%s", err, tail(out.String(), 6000))
	}
}

// operationSeen is what the test reads of an Operation.
type operationSeen struct {
	Metadata struct{ Name string }
	Spec     struct{ Type string }
	Status   struct{ Phase string }
}

// writer makes a write every second, until the function that it returns is
// called, which tells those that were acknowledged.
func (c *cluster) writer(t *testing.T) func() []string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	var written []string
	done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			name := fmt.Sprintf("during-upgrade-%d", n)
			if _, err := c.client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err == nil {
				written = append(written, name)
			}
		}
	})
	return func() []string { cancel(); done.Wait(); return written }
}

// checkUpgraded: every node runs the new version and takes pods, and so does
// every apiserver.
func (c *cluster) checkUpgraded(t *testing.T) {
	t.Helper()
	nodes, err := c.client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes.Items {
		if n.Status.NodeInfo.KubeletVersion != suite.version || n.Spec.Unschedulable {
			t.Errorf("%s runs %s, unschedulable: %v", n.Name, n.Status.NodeInfo.KubeletVersion, n.Spec.Unschedulable)
		}
	}
	for _, h := range c.names("control-plane") {
		if manifest := c.exec(t, h, "cat", "/etc/kubernetes/manifests/kube-apiserver.yaml"); !strings.Contains(manifest, ":"+suite.version) {
			t.Errorf("%s's apiserver is not %s", h, suite.version)
		}
	}
}

// checkBackups: each control plane has one, which nobody but root can read.
func (c *cluster) checkBackups(t *testing.T) {
	t.Helper()
	c.checkBackupFiles(t)
	if r := c.ha(t, suiteDeadline, "backup", "list", "--kubeconfig", c.kubeconfig); r.code != 0 || !strings.Contains(r.stdout, "cp1") {
		t.Errorf("backup list: %s", r)
	}
}

// checkBackupFiles wants one on each control plane, which root alone can read.
func (c *cluster) checkBackupFiles(t *testing.T) {
	t.Helper()
	for _, h := range c.names("control-plane") {
		list := c.exec(t, h, "find", "/var/lib/kubectl-ha/backups", "-type", "f", "-printf", "%m %f\\n")
		for _, want := range []string{"600 etcd-snapshot.db", "600 host.tar.gz", "600 backup.json"} {
			if !strings.Contains(list, want) {
				t.Errorf("%s: no %q in %s", h, want, list)
			}
		}
	}
}
