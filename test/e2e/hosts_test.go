//go:build e2e

package e2e

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unusualLab brings up a lab of one control plane and one worker whose hosts are made with
// further flags of `lab up`. It goes with the test.
func unusualLab(t *testing.T, name string, flags ...string) *lab {
	t.Helper()
	l := upLabOf(t, name, suite.version, labSize{controlPlanes: 1, workers: 1}, flags...)
	t.Cleanup(func() { l.drop(t) })
	return l
}

// TestTwoNetworks: the default route leads over a second interface, on which hosts do not
// reach each other. It is no reason to refuse them, and pods reach each other all the same.
// (That such cards have the same MAC address is TestPreflight's: the lab's have no device
// behind them, and are not looked at.)
func TestTwoNetworks(t *testing.T) {
	l := unusualLab(t, "e2e-nat", "--nat")
	file := l.file(t, nil)
	r := l.ha(t, 2*time.Minute, "preflight", "-f", file)
	if r.code != 0 {
		t.Errorf("a second network stands in the way: %s", r)
	}
	c := l.cluster(t, "e2e-nat", file)
	c.bootstrap(t)
	c.settled(t)
	nodes, err := c.client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes.Items {
		if got, want := n.Annotations["flannel.alpha.coreos.com/public-ip"], hostAddress(l, n.Name); got != want {
			t.Errorf("flannel goes by %s to %s, not by %s", got, n.Name, want)
		}
	}
	pods, err := c.client.CoreV1().Pods(metav1.NamespaceSystem).List(context.Background(), metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("%d pods of CoreDNS, %v", len(pods.Items), err)
	}
	for _, pod := range pods.Items {
		for _, h := range c.names("control-plane", "worker") {
			eventually(t, time.Minute, h+" reaches the pod "+pod.Status.PodIP+" of "+pod.Spec.NodeName, func() (bool, string) {
				_, err := resolve(c, t, h, pod.Status.PodIP)
				if err != nil {
					return false, err.Error()
				}
				return true, ""
			})
		}
	}
}

// TestNoexecVar: hosts whose /var is mounted noexec, as hardened ones have it, become a
// cluster, and stay one when the same is run again.
func TestNoexecVar(t *testing.T) {
	l := unusualLab(t, "e2e-noexec", "--noexec-var")
	hosts := l.names("control-plane", "worker")
	for _, h := range hosts {
		if options := l.exec(t, h, "findmnt", "--noheadings", "--output", "OPTIONS", "--target", "/var/lib"); !strings.Contains(options, "noexec") {
			t.Fatalf("/var of %s is mounted with %s", h, options)
		}
	}
	// Where programs can't be started at all, preflight says so.
	l.exec(t, "w1", "mkdir", "-p", "/opt/cni/bin")
	l.exec(t, "w1", "mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", "/opt/cni/bin")
	file := l.file(t, nil)
	r := l.ha(t, 2*time.Minute, "preflight", "-f", file)
	if said := r.stdout + r.stderr; r.code == 0 || !strings.Contains(said, "kept and started in /opt/cni/bin") || strings.Contains(said, "kept and started in /usr/local") {
		t.Errorf("a directory that is mounted noexec: %s", r)
	}
	l.exec(t, "w1", "umount", "/opt/cni/bin")

	c := l.cluster(t, "e2e-noexec", file)
	c.bootstrap(t)
	c.settled(t)
	// The agent that is installed now is the one that is started.
	c.bootstrap(t)
	c.settled(t)
	for _, h := range hosts {
		c.exec(t, h, "/var/lib/kubectl-ha/bin/kubectl-ha", "agent", "--help")
	}
	if state := c.exec(t, c.names("control-plane")[0], "systemctl", "is-active", "kubectl-ha-vip.service"); strings.TrimSpace(state) != "active" {
		t.Errorf("the watch of the virtual IP is %s", state)
	}
	if r := c.ha(t, 5*time.Minute, "uninstall", "-f", c.file, "--yes", "--no-snapshot"); r.code != 0 {
		t.Fatalf("uninstall: %s", r)
	}
	for _, h := range hosts {
		if r := c.try(t, h, nil, "ls", "-d", "/usr/local/lib/kubectl-ha", "/var/lib/kubectl-ha"); strings.Contains(r.stdout, "kubectl-ha") {
			t.Errorf("%s still has %s", h, r.stdout)
		}
	}
}

// TestAdvertisementInterval: the time between advertisements changes, and the virtual IP
// stays where it is.
func TestAdvertisementInterval(t *testing.T) {
	c := sharedCluster(t)
	c.settled(t)
	taken := func() map[string]int {
		out := map[string]int{}
		for _, h := range c.names("control-plane") {
			out[h] = strings.Count(c.exec(t, h, "journalctl", "--unit", "keepalived", "--output", "cat"), "Entering MASTER STATE")
		}
		return out
	}
	for _, milliseconds := range []int{2000, 200} {
		changed := *c
		changed.file = c.lab.file(t, func(text string) string {
			return strings.Replace(text, "\nspec:\n", "\nspec:\n  keepalived:\n    advertisementIntervalMilliseconds: "+strconv.Itoa(milliseconds)+"\n", 1)
		})
		before, since := taken(), time.Now()
		// From the shorter to the longer one and back; a backup would take the address after
		// three intervals.
		if r := changed.ha(t, 10*time.Minute, changed.bootstrapArgs()...); r.code != 0 {
			t.Fatalf("bootstrap with advertisements every %d ms: %s", milliseconds, r)
		}
		time.Sleep(3 * time.Duration(milliseconds) * time.Millisecond) // not a wait for anything: the time in which it would move
		for h, n := range taken() {
			if n != before[h] {
				t.Errorf("with advertisements every %d ms %s took the address", milliseconds, h)
			}
		}
		if t.Failed() {
			c.tellVIP(t, since)
		}
	}
	c.settled(t)
}

// TestToolkitOfAGPU: what another program adds to containerd's configuration stays at the
// next bootstrap, and what it takes from the kubelet is put right by a drop-in of ours.
func TestToolkitOfAGPU(t *testing.T) {
	const config, dropIn = "/etc/containerd/config.toml", "/etc/containerd/conf.d/99-gpu.toml"
	c := copyCluster(t)
	c.settled(t)
	original := c.exec(t, "w1", "cat", config)
	write := func(path, content string) {
		t.Helper()
		if r := c.try(t, "w1", []byte(content), "tee", path); r.code != 0 {
			t.Fatalf("write %s: %s", path, r)
		}
	}
	bootstrap := func() {
		t.Helper()
		if r := c.ha(t, 10*time.Minute, c.bootstrapArgs()...); r.code != 0 {
			t.Fatalf("bootstrap: %s", r)
		}
	}
	t.Cleanup(func() {
		c.exec(t, "w1", "rm", "-rf", "/etc/containerd/conf.d")
		write(config, original)
		c.exec(t, "w1", "systemctl", "restart", "containerd")
		c.settled(t)
	})
	c.exec(t, "w1", "mkdir", "-p", "/etc/containerd/conf.d")
	write(config, "imports = ['/etc/containerd/conf.d/*.toml']\n"+original)
	write(dropIn, "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.gpu]\nruntime_type = 'io.containerd.runc.v2'\n"+
		"[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nSystemdCgroup = false\n")
	// A bootstrap prepares a host that lacks a program.
	c.exec(t, "w1", "rm", "/usr/local/bin/ctr")
	bootstrap()
	if got := c.exec(t, "w1", "cat", config); got != "imports = ['/etc/containerd/conf.d/*.toml']\n"+original {
		t.Errorf("somebody else's line is gone:\n%s", got)
	}
	dump := c.exec(t, "w1", "/usr/local/bin/containerd", "config", "dump")
	if !strings.Contains(dump, "SystemdCgroup = true") || strings.Contains(dump, "SystemdCgroup = false") || !strings.Contains(dump, "runtimes.gpu]") {
		t.Errorf("in force is\n%s", dump)
	}
	// What can't be outvoted is named.
	write("/etc/containerd/conf.d/zzz.toml", "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nSystemdCgroup = false\n")
	c.exec(t, "w1", "rm", "/usr/local/bin/ctr")
	if r := c.ha(t, 10*time.Minute, c.bootstrapArgs()...); r.code == 0 || !strings.Contains(r.stdout+r.stderr, "/etc/containerd/conf.d/zzz.toml") {
		t.Errorf("a file that has the last word: %s", r)
	}
	c.exec(t, "w1", "rm", "/etc/containerd/conf.d/zzz.toml")
	bootstrap()
}
