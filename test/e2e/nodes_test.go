//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// replaceDeadline bounds one replacement; on a quiet machine it takes three minutes.
const replaceDeadline = 15 * time.Minute

// TestReplaceControlPlane destroys the control plane that has the virtual IP, and puts
// a new host in its place. Once the address has moved no request through it fails any
// more. With E2E_TIER=full all three are replaced, one after the other, so that none of the
// hosts that the cluster was made of is left; and then one is that is well.
func TestReplaceControlPlane(t *testing.T) {
	count := 1
	if suite.full {
		count = 3
	}
	c := nodesCluster(t, count)
	if suite.full {
		c.changeBalancer(t, "haproxy")
	}
	left := []string{"cp1", "cp2", "cp3"}
	for i := range count {
		old := c.holder(t)
		if !slices.Contains(left, old) {
			old = left[0]
		}
		left = slices.DeleteFunc(left, func(name string) bool { return name == old })
		c.replaceLost(t, old, fmt.Sprintf("cp%d", 4+i))
	}
	if count == 1 {
		return
	}
	c.replaceWell(t, "cp4", "cp7")
}

// TestWorkerLeavesAndComesBack: a worker that is well is removed and cleaned, and is as
// bare as it was; then it joins itself by a script that does not need SSH. A Deployment
// that tolerates everything and prefers the worker is evicted from it once.
func TestWorkerLeavesAndComesBack(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	b := c.deployComesBack(t, "w1")
	told := c.removeWell(t, "w1")
	b.stop()
	c.checkEvictedOnce(t, b, told)
	text := c.ha(t, suiteDeadline, "node", "add", "w1", "-f", c.file, "--print", "--kubeconfig", c.kubeconfig)
	if text.code != 0 || !strings.HasPrefix(text.stdout, "#!/bin/sh") {
		t.Fatalf("node add --print: %s", text.stderr)
	}
	script := filepath.Join(t.TempDir(), "add-w1.sh")
	if err := os.WriteFile(script, []byte(text.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for from, to := range map[string]string{script: "add.sh", c.haArgv()[2]: "kubectl-ha", suite.bundles[c.bundleKey()]: "bundle.tar"} {
		c.run(t, "cp", from, "w1:/root/"+to)
	}
	if r := c.tryFor(t, "w1", 5*time.Minute, nil, "sh", "/root/add.sh", "/root/kubectl-ha", "/root/bundle.tar"); r.code != 0 || !strings.Contains(r.stdout, "joined") {
		t.Fatalf("the script: %s", tail(r.String(), 4000))
	}
	c.exec(t, "w1", "rm", "/root/add.sh", "/root/kubectl-ha", "/root/bundle.tar")
	if r := c.ha(t, 5*time.Minute, "node", "add", "w1", "-f", c.file, "--joined", "--kubeconfig", c.kubeconfig, "--yes"); r.code != 0 {
		t.Fatalf("node add --joined: %s", tail(r.String(), 4000))
	}
	t.Logf("the script and the rest took %s", time.Since(start).Round(time.Second))
	c.settled(t)
	if stored := c.storedCluster(t); !strings.Contains(stored, "name: w1\n") {
		t.Errorf("w1 is not in the stored Cluster document: %s", stored)
	}
	if r := c.ha(t, 5*time.Minute, "node", "add", "w1", "-f", c.file, "--kubeconfig", c.kubeconfig, "--bundle", suite.bundles[c.bundleKey()], "--yes"); r.code != 0 {
		t.Errorf("once more: %s", tail(r.String(), 2000))
	}
	c.removeUncleaned(t, "w1")
}

// TestControlPlaneLeavesAndComesBack: a control plane, well and with its etcd member, is
// removed and cleaned, and added again over SSH; no request fails. It is the first of the
// document, which is special for kubeadm's configurations if they are not written for the
// host where they are used; and mostly it has the virtual IP.
func TestControlPlaneLeavesAndComesBack(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	c.installBalancer(t, "haproxy")
	const host = "cp1"
	t.Logf("%s has the virtual IP", c.holder(t))
	p := c.prober(t, c.vip)
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	lossless(t, p, host+" leaves and comes back", func() {
		c.removeWell(t, host)
		c.added(t, host)
	})
	c.settled(t)
	c.checkBalancer(t)
	c.removeUncleaned(t, host)
}

// TestSilentKubeletIsNotLost: the kubelet of the control plane that has the virtual IP is
// stopped. Its host goes on serving, so that its removal is refused, by the plan and by a
// removal that nobody has looked at, and the address has one holder all the time.
func TestSilentKubeletIsNotLost(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	host := c.holder(t)
	c.exec(t, host, "systemctl", "stop", "kubelet")
	defer func() {
		c.exec(t, host, "systemctl", "start", "kubelet")
		c.settled(t)
	}()
	eventually(t, 3*time.Minute, "the node is Unknown", func() (bool, string) {
		n, err := c.client.CoreV1().Nodes().Get(context.Background(), host, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		for _, cond := range n.Status.Conditions {
			if cond.Type == corev1.NodeReady {
				return cond.Status == corev1.ConditionUnknown, string(cond.Status)
			}
		}
		return false, "no condition"
	})
	remove := []string{"node", "remove", host, "--kubeconfig", c.kubeconfig}
	if r := c.ha(t, suiteDeadline, append(remove, "--yes")...); r.code != 3 || !strings.Contains(r.stdout, "the host is not lost: an API server answers at port 6443") || !strings.Contains(r.stdout, "--fenced") {
		t.Errorf("node remove: %s", r)
	}
	r := c.ha(t, suiteDeadline, append(remove, "-o", "yaml")...)
	if r.code != 0 {
		t.Fatalf("node remove -o yaml: %s", r)
	}
	if r := c.try(t, host, []byte(r.stdout), "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "create", "-f", "-"); r.code != 0 {
		t.Fatalf("create the Operation: %s", r)
	}
	if r := c.ha(t, suiteDeadline, "operation", "watch", "removenode-"+host, "--kubeconfig", c.kubeconfig); r.code == 0 || !strings.Contains(r.String(), "the host is not lost") {
		t.Errorf("the Operation that nobody has looked at: %s", r)
	}
	if members := c.etcdctl(t, host, "member", "list"); strings.Count(members.stdout, "started") != 3 {
		t.Errorf("etcd's members: %s", members)
	}
	if hs := c.holders(t); len(hs) != 1 {
		t.Errorf("the virtual IP is on %v", hs)
	}
}

// removeWell removes a host that is well, and has it cleaned. It returns what was told.
func (c *cluster) removeWell(t *testing.T, host string) string {
	t.Helper()
	start := time.Now()
	r := c.ha(t, replaceDeadline, "node", "remove", host, "-f", c.file, "--kubeconfig", c.kubeconfig, "--delete-emptydir-data", "--force-drain", "--yes")
	if r.code != 0 {
		t.Fatalf("node remove %s: %s", host, tail(r.String(), 6000))
	}
	t.Logf("%s was removed and cleaned in %s", host, time.Since(start).Round(time.Second))
	if _, err := c.client.CoreV1().Nodes().Get(context.Background(), host, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the node %s is still there: %v", host, err)
	}
	if stored := c.storedCluster(t); strings.Contains(stored, "name: "+host+"\n") {
		t.Errorf("%s is still in the stored Cluster document: %s", host, stored)
	}
	// It would stop the kubelet of the host that comes back.
	if r := c.try(t, host, nil, "systemctl", "is-active", "kubectl-ha-retire.timer"); strings.TrimSpace(r.stdout) == "active" {
		t.Error("the timer that ends the kubelet still runs")
	}
	if diff := c.run(t, "diff", host); strings.TrimSpace(diff) != "" {
		t.Errorf("%s is not as it was:\n%s", host, diff)
	}
	return r.stdout
}

// added adds a host that the Cluster file has to the cluster.
func (c *cluster) added(t *testing.T, host string) {
	t.Helper()
	start := time.Now()
	r := c.ha(t, replaceDeadline, "node", "add", host, "-f", c.file, "--kubeconfig", c.kubeconfig, "--bundle", suite.bundles[c.bundleKey()], "--yes")
	if r.code != 0 {
		t.Fatalf("node add %s: %s", host, tail(r.String(), 6000))
	}
	t.Logf("%s was added in %s", host, time.Since(start).Round(time.Second))
}

// removeUncleaned removes a host that is well, and does not clean it: its kubelet ends all the
// same, and leaves no login.
func (c *cluster) removeUncleaned(t *testing.T, host string) {
	t.Helper()
	r := c.ha(t, replaceDeadline, "node", "remove", host, "--kubeconfig", c.kubeconfig, "--delete-emptydir-data", "--force-drain", "--yes")
	if r.code != 0 {
		t.Fatalf("node remove %s: %s", host, tail(r.String(), 6000))
	}
	if there := c.try(t, host, nil, "ls", "/var/lib/kubelet/config.yaml"); there.code != 0 {
		t.Errorf("%s was cleaned: %s", host, there)
	}
	eventually(t, 2*time.Minute, "the kubelet has ended, and its login is gone", func() (bool, string) {
		if r := c.try(t, host, nil, "systemctl", "is-active", "kubelet"); strings.TrimSpace(r.stdout) != "inactive" {
			return false, "the kubelet is " + strings.TrimSpace(r.stdout)
		}
		left := c.try(t, host, nil, "find", "/etc/kubernetes/kubelet.conf", "/etc/kubernetes/bootstrap-kubelet.conf", "/var/lib/kubelet/pki")
		return strings.TrimSpace(left.stdout) == "", "still there: " + left.stdout
	})
}

// storedCluster is the Cluster document in the cluster.
func (c *cluster) storedCluster(t *testing.T) string {
	t.Helper()
	m, err := c.client.CoreV1().ConfigMaps("ha-system").Get(context.Background(), "cluster", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(m.Data)
}

// nodesCluster is a cluster of the first three hosts of a lab with more.
func nodesCluster(t *testing.T, spare int) *cluster {
	t.Helper()
	if spare > 1 {
		spare++ // One for the replacement of a host that is well.
	}
	return copyWithHosts(t, 3+spare)
}

// hostEntry is one host in the lab's Cluster file.
var hostEntry = regexp.MustCompile(`(?m)^  - address: .*\n    name: (\S+)\n(    .*\n)*`)

// fileOf is the lab's Cluster file with some of its hosts.
func (l *lab) fileOf(t *testing.T, names ...string) string {
	t.Helper()
	if len(names) == len(l.names()) {
		return l.file(t, nil) // It has them all.
	}
	return l.file(t, func(text string) string {
		return hostEntry.ReplaceAllStringFunc(text, func(entry string) string {
			if slices.Contains(names, hostEntry.FindStringSubmatch(entry)[1]) {
				return entry
			}
			return ""
		})
	})
}

// with is the file of the cluster's nodes and one more host.
func (c *cluster) with(t *testing.T, fresh string) string {
	t.Helper()
	nodes, err := c.client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{fresh}
	for _, n := range nodes.Items {
		names = append(names, n.Name)
	}
	return c.fileOf(t, names...)
}

func (c *cluster) replace(t *testing.T, file, old, fresh string) {
	t.Helper()
	start := time.Now()
	r := c.ha(t, replaceDeadline, "node", "replace", old, fresh, "-f", file, "--bundle", suite.bundles[c.bundleKey()], "--kubeconfig", c.kubeconfig, "--yes")
	if r.code != 0 {
		t.Fatalf("replace %s by %s: %s", old, fresh, tail(r.String(), 6000))
	}
	t.Logf("%s has taken the place of %s after %s", fresh, old, time.Since(start).Round(time.Second))
}

// replaceLost destroys a host for ever, and replaces it.
func (c *cluster) replaceLost(t *testing.T, old, fresh string) {
	t.Helper()
	file := c.with(t, fresh)
	through := map[string]*prober{"the virtual IP": c.prober(t, c.vip)}
	if suite.full {
		through["the load balancer"] = c.balanced(t)
	}
	var stops []func()
	for _, p := range through {
		p.every = 50 * time.Millisecond
		stop := p.start()
		defer stop()
		stops = append(stops, stop)
	}
	c.run(t, "kill", old)
	for what, p := range through {
		eventually(t, time.Minute, "the virtual IP has moved", func() (bool, string) { return p.steadyFor(3 * time.Second), "not steady through " + what })
	}
	calm := time.Now()
	// A living member can't leave while another one is dead.
	for _, other := range c.names("control-plane") {
		n, err := c.client.CoreV1().Nodes().Get(context.Background(), other, metav1.GetOptions{})
		if err != nil || other == old || !ready(*n) {
			continue
		}
		if r := c.ha(t, suiteDeadline, "node", "remove", other, "--kubeconfig", c.kubeconfig, "--yes"); r.code != 3 || !strings.Contains(r.stdout, "no quorum") {
			t.Errorf("the removal of %s beside a dead member: %s", other, r)
		}
		break
	}
	c.replace(t, file, old, fresh)
	for _, stop := range stops {
		stop()
	}
	for what, p := range through {
		if o := p.outageSince(calm); o.failed > 0 {
			t.Errorf("not lossless through %s: %s\n%s", what, o, p.timeline(calm))
		} else {
			t.Logf("%d requests through %s, none failed", o.requests, what)
		}
	}
	c.checkReplaced(t, old, fresh)
	if r := c.ha(t, replaceDeadline, "node", "replace", old, fresh, "-f", file, "--bundle", suite.bundles[c.bundleKey()], "--kubeconfig", c.kubeconfig, "--yes"); r.code != 0 {
		t.Errorf("the same once more: %s", r)
	}
}

// replaceWell replaces a host that is well: nothing is lost at all.
func (c *cluster) replaceWell(t *testing.T, old, fresh string) {
	t.Helper()
	file := c.with(t, fresh)
	p := c.prober(t, c.vip)
	p.every = 50 * time.Millisecond
	stop := p.start()
	defer stop()
	start := time.Now()
	c.replace(t, file, old, fresh)
	stop()
	if o := p.outageSince(start); o.failed > 0 {
		t.Errorf("not lossless: %s\n%s", o, p.timeline(start))
	}
	c.checkReplaced(t, old, fresh)
	if r := c.try(t, old, nil, "ip", "-o", "addr", "show", "to", c.vip); strings.TrimSpace(r.stdout) != "" {
		t.Errorf("%s still has the virtual IP", old)
	}
	for _, unit := range []string{"keepalived", "etcd"} {
		if r := c.try(t, old, nil, "systemctl", "is-active", unit); strings.TrimSpace(r.stdout) == "active" {
			t.Errorf("%s still runs %s", old, unit)
		}
	}
	if r := c.try(t, old, nil, "test", "-e", "/etc/kubernetes/pki/ca.key"); r.code == 0 {
		t.Errorf("%s still has the key of the cluster's CA", old)
	}
}

// checkBalancerFollows: the load balancer is on the new control plane and gone from the old
// one, and no load balancer knows the old one.
func (c *cluster) checkBalancerFollows(t *testing.T, old, fresh string) {
	t.Helper()
	c.checkBalancer(t)
	var balancers []string
	for _, p := range c.balancers(t).Pods {
		balancers = append(balancers, p.Node)
		for _, s := range p.Servers {
			if s.Name == old {
				t.Errorf("the load balancer of %s still knows %s", p.Node, old)
			}
		}
	}
	if !slices.Contains(balancers, fresh) || slices.Contains(balancers, old) {
		t.Errorf("there are load balancers on %v", balancers)
	}
}

// checkReplaced: nobody speaks of the old host any more, and the new one is all that it
// was.
func (c *cluster) checkReplaced(t *testing.T, old, fresh string) {
	t.Helper()
	address := map[string]string{}
	for _, h := range c.cached.Hosts {
		address[h.Name] = h.Address
	}
	if _, err := c.client.CoreV1().Nodes().Get(context.Background(), old, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the node %s is still there: %v", old, err)
	}
	nodes, err := c.client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{LabelSelector: "node-role.kubernetes.io/control-plane"})
	if err != nil || len(nodes.Items) != 3 {
		t.Fatalf("%d control planes, %v", len(nodes.Items), err)
	}
	for _, n := range nodes.Items {
		if !ready(n) || n.Spec.Unschedulable {
			t.Errorf("%s is not ready, or cordoned", n.Name)
		}
		for path, want := range map[string]string{
			"/etc/kubernetes/manifests/kube-apiserver.yaml": "https://" + address[fresh] + ":2379",
			"/etc/etcd/etcd.env":                            fresh + "=https://" + address[fresh] + ":2380",
		} {
			if text := c.exec(t, n.Name, "cat", path); !strings.Contains(text, want) || strings.Contains(text, address[old]+":") {
				t.Errorf("%s on %s: %s is to be in it, %s is not", path, n.Name, want, address[old])
			}
		}
		peers := c.exec(t, n.Name, "cat", "/etc/keepalived/keepalived.conf")
		if strings.Contains(peers, address[old]+"\n") || n.Name != fresh && !strings.Contains(peers, address[fresh]+"\n") {
			t.Errorf("keepalived's peers on %s: %s", n.Name, peers)
		}
	}
	if suite.full {
		c.checkBalancerFollows(t, old, fresh)
	}
	for ns, name := range map[string]string{"kube-system": "kubeadm-config", "ha-system": "cluster"} {
		m, err := c.client.CoreV1().ConfigMaps(ns).Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(m.Data); strings.Contains(text, address[old]+":") || strings.Contains(text, "address: "+address[old]+"\n") || !strings.Contains(text, address[fresh]) {
			t.Errorf("%s/%s: %s", ns, name, text)
		}
	}
	r := c.etcdctl(t, fresh, "member", "list", "-w", "json")
	var list struct {
		Members []struct {
			Name      string
			IsLearner bool `json:"isLearner"`
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	var names []string
	for _, m := range list.Members {
		names = append(names, m.Name)
		if m.IsLearner {
			t.Errorf("%s does not vote", m.Name)
		}
	}
	if len(names) != 3 || slices.Contains(names, old) || !slices.Contains(names, fresh) {
		t.Errorf("etcd's members are %v", names)
	}
}
