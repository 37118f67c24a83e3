//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// uninstallDeadline bounds an uninstall of all hosts; on a quiet machine it takes half a minute.
const uninstallDeadline = 10 * time.Minute

// TestUninstall takes a cluster of its own off three control planes and a worker, with the
// load balancer and an addon that changes the kubelets. In `make test` the same is done to
// the cluster with separate etcd hosts, after its upgrade.
func TestUninstall(t *testing.T) {
	l := ownLab(t, "e2e-uninstall", suite.version, labSize{controlPlanes: 3, workers: 1})
	bare := l.bareness(t)
	c := l.cluster(t, "uninstall", "")
	c.bootstrap(t)
	c.settled(t)
	c.changeBalancer(t, "haproxy")
	c.checkBalancer(t)
	c.metricsServer(t)
	c.uninstall(t, bare)
	older := &lab{name: l.name, dir: l.dir, version: suite.other, cached: l.cached}
	c = older.cluster(t, "again", "")
	c.again(t)
}

// metricsServer installs it, with serving certificates for the kubelets by the cluster's CA.
func (c *cluster) metricsServer(t *testing.T) {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "addons.tar")
	for _, args := range [][]string{
		{"bundle", "create", "--addons", "metrics-server", "--mirror", c.cached.Mirror, "--trust-mirror", "--out", bundle},
		{"images", "push", bundle, "--kubeconfig", c.kubeconfig},
		{"addon", "install", "metrics-server", "--bundle", bundle, "--yes", "--kubeconfig", c.kubeconfig},
	} {
		if r := c.ha(t, 8*time.Minute, args...); r.code != 0 {
			t.Fatalf("%v: %s", args, r)
		}
	}
}

// uninstallSummary is the last line of -o json.
type uninstallSummary struct {
	Kind  string `json:"kind"`
	Hosts []struct {
		Host  string   `json:"host"`
		State string   `json:"state"`
		Left  []string `json:"left"`
	} `json:"hosts"`
	Snapshot *struct {
		File string `json:"file"`
	} `json:"snapshot"`
}

// uninstall takes the cluster off its hosts while the last worker is away, then off
// that one; after each every host that was reached is as bare as it was before.
func (c *cluster) uninstall(t *testing.T, bare map[string]map[string]string) {
	t.Helper()
	hosts := c.names()
	workers := c.names("worker")
	away := workers[len(workers)-1]
	boots := c.boots(t)
	c.leaveData(t, away)

	// Listing changes nothing, and nobody to ask is an error.
	if r := c.ha(t, suiteDeadline, "uninstall", "-f", c.file, "--dry-run"); r.code != 0 || !strings.Contains(r.stdout, "/etc/kubernetes/pki") {
		t.Errorf("dry run: %s", tail(r.String(), 2000))
	}
	if r := c.ha(t, suiteDeadline, "uninstall", "-f", c.file); r.code != 2 {
		t.Errorf("without a terminal and without --yes: %s", r)
	}
	other := c.lab.file(t, func(s string) string { return strings.Replace(s, "name: "+c.name+"\n", "name: another\n", 1) })
	if r := c.ha(t, suiteDeadline, "uninstall", "-f", other, "--yes"); r.code != 3 || !strings.Contains(r.stderr, c.name) {
		t.Errorf("the file of another cluster: %s", r)
	}
	c.settled(t)

	c.run(t, "kill", away)
	c.uninstallKilled(t)
	start := time.Now()
	s := c.uninstallOnce(t, 5)
	t.Logf("all hosts but one took %s", time.Since(start).Round(time.Second))
	for _, h := range s.Hosts {
		// Bare are those that the killed run had done.
		as := []string{"done", "bare"}
		if h.Host == away {
			as = []string{"unreachable"}
		}
		if !slices.Contains(as, h.State) || len(h.Left) > 0 {
			t.Errorf("%s is %s, keeps %q", h.Host, h.State, h.Left)
		}
	}
	c.checkSnapshot(t, s)
	c.checkBare(t, bare, slices.DeleteFunc(slices.Clone(hosts), func(h string) bool { return h == away })...)
	for h, boot := range c.boots(t) {
		if h != away && boots[h] != boot {
			t.Errorf("%s was restarted", h)
		}
	}

	c.run(t, "start", away)
	eventually(t, 2*time.Minute, away+" takes logins again", func() (bool, string) {
		r := c.try(t, away, nil, "systemctl", "is-active", "ssh")
		return strings.TrimSpace(r.stdout) == "active", r.String()
	})
	c.uninstallOnce(t, 0)
	// What is in a volume on the host's disk is its owner's.
	if got := c.exec(t, away, "cat", "/srv/data/file"); got != "precious\n" {
		t.Errorf("the data of a pod: %q", got)
	}
	c.exec(t, away, "rm", "-r", "/srv/data")
	if diff := c.run(t, "diff", away); strings.TrimSpace(diff) != "" {
		t.Errorf("%s is not as it was:\n%s", away, diff)
	}
	// Once more there is nothing to do.
	start = time.Now()
	for _, h := range c.uninstallOnce(t, 0).Hosts {
		if h.State != "bare" {
			t.Errorf("%s is %s", h.Host, h.State)
		}
	}
	t.Logf("nothing to do took %s", time.Since(start).Round(time.Second))
}

// uninstallKilled begins an uninstall and kills it while hosts are being done: the next
// run has to go on, with the snapshot that this one took.
func (c *cluster) uninstallKilled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), uninstallDeadline)
	defer cancel()
	argv := c.haArgv("uninstall", "-f", c.file, "--yes", "-o", "json")
	// `env` execs the program, so the process that is killed is the product.
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = c.dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var last string
	begun, enough := 0, 3*len(c.names())
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct{ Kind, Step, Host, Message string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("no event: %v %s", err, lines.Text())
		}
		if strings.HasPrefix(e.Step, "uninstall/") && e.Kind == "progress" {
			begun++
		}
		// Some parts are behind them, etcd's members among the first on some hosts.
		if last = e.Step + " " + e.Message; begun == enough {
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatalf("it had ended before it was killed: %v, after %s", err, last)
	}
	// It was killed, and what it still printed is of no use.
	_ = cmd.Wait()
	t.Logf("killed at %s", last)
}

// uninstallOnce runs it, with the exit code that is wanted.
func (c *cluster) uninstallOnce(t *testing.T, code int) uninstallSummary {
	t.Helper()
	r := c.ha(t, uninstallDeadline, "uninstall", "-f", c.file, "--yes", "-o", "json")
	if r.code != code {
		t.Fatalf("uninstall, want exit %d: %s", code, tail(r.String(), 6000))
	}
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	var s uninstallSummary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil || s.Kind != "summary" {
		t.Fatalf("the last line is no summary: %v %s", err, lines[len(lines)-1])
	}
	return s
}

// leaveData has a pod write to the host's disk, and to a volume of its own.
func (c *cluster) leaveData(t *testing.T, node string) {
	t.Helper()
	pod := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"data","namespace":"default"},"spec":{"nodeName":%q,"hostNetwork":true,
"containers":[{"name":"c","image":"registry.k8s.io/kube-proxy:%s","command":["/bin/sh","-c","echo precious > /data/file; echo gone > /own/file; sleep 100000"],
"volumeMounts":[{"name":"d","mountPath":"/data"},{"name":"o","mountPath":"/own"}]}],
"volumes":[{"name":"d","hostPath":{"path":"/srv/data","type":"DirectoryOrCreate"}},{"name":"o","emptyDir":{"medium":"Memory"}}]}}`, node, c.kubelet(t, node))
	var p corev1.Pod
	if err := json.Unmarshal([]byte(pod), &p); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.CoreV1().Pods("default").Create(context.Background(), &p, metav1.CreateOptions{}); err != nil {
		t.Fatalf("a pod with data: %v", err)
	}
	eventually(t, 2*time.Minute, "the pod has written its data", func() (bool, string) {
		r := c.try(t, node, nil, "cat", "/srv/data/file")
		return r.stdout == "precious\n", r.String()
	})
}

// kubelet is the version that a node runs, of which its images are there.
func (c *cluster) kubelet(t *testing.T, node string) string {
	t.Helper()
	return strings.TrimPrefix(strings.TrimSpace(c.exec(t, node, "/usr/local/bin/kubelet", "--version")), "Kubernetes ")
}

// checkSnapshot: it is there, for its owner alone, and etcd can be restored from it.
func (c *cluster) checkSnapshot(t *testing.T, s uninstallSummary) {
	t.Helper()
	if s.Snapshot == nil {
		t.Fatal("there is no snapshot")
	}
	info, err := os.Stat(s.Snapshot.File)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() < 1<<16 {
		t.Errorf("%s: %v %v", s.Snapshot.File, info, err)
	}
}

// boots are the times at which the hosts' first processes began.
func (c *cluster) boots(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, h := range c.names() {
		if r := c.try(t, h, nil, "stat", "-c", "%Y", "/proc/1"); r.code == 0 {
			out[h] = strings.TrimSpace(r.stdout)
		}
	}
	return out
}

// volatile is what changes by itself in what the tools print: times, counters, and what a timer
// of the system starts a quarter of an hour after a boot.
var volatile = regexp.MustCompile(`(?m)^# (Generated|Completed).*$|packets \d+ bytes \d+|^systemd-tmpfiles-clean\.service .*\n`)

// bareness is what the hosts' own tools tell of them, by host and by tool.
func (l *lab) bareness(t testing.TB) map[string]map[string]string {
	t.Helper()
	out := map[string]map[string]string{}
	for _, h := range l.names() {
		out[h] = map[string]string{}
		for _, argv := range [][]string{
			{"ip", "-o", "address"}, {"ip", "route", "show", "table", "all"}, {"ip", "-6", "route"}, {"ip", "rule"}, {"ip", "-o", "link"},
			{"iptables-save"}, {"ip6tables-save"}, {"nft", "list", "ruleset"}, {"mount"}, {"ip", "netns"},
			{"systemctl", "list-units", "--no-legend", "--plain", "--no-pager"}, {"systemctl", "list-unit-files", "--no-legend", "--no-pager"},
			{"getent", "passwd"}, {"getent", "group"},
			{"sysctl", "net.ipv4.ip_forward", "net.ipv4.conf.all.route_localnet", "net.netfilter.nf_conntrack_tcp_timeout_close_wait"},
		} {
			text := l.try(t, h, nil, argv...).stdout
			out[h][strings.Join(argv, " ")] = volatile.ReplaceAllString(text, "")
		}
	}
	return out
}

// checkBare: the hosts' disks are as they were, and so is what their tools tell.
func (c *cluster) checkBare(t *testing.T, bare map[string]map[string]string, hosts ...string) {
	t.Helper()
	now := c.bareness(t)
	for _, h := range hosts {
		if diff := c.run(t, "diff", h); strings.TrimSpace(diff) != "" {
			t.Errorf("%s is not as it was:\n%s", h, diff)
		}
		for tool, want := range bare[h] {
			if got := now[h][tool]; got != want {
				t.Errorf("%s: %s prints\n%s\nand when the host was bare\n%s", h, tool, got, want)
			}
		}
	}
}

// again makes a cluster on the same hosts.
func (c *cluster) again(t *testing.T) {
	t.Helper()
	c.bootstrap(t)
	c.settled(t)
	c.checkShape(t)
}
