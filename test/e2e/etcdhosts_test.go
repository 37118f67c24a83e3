//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSeparateEtcdHosts makes a cluster of the older Kubernetes version with
// etcd on hosts of its own: what comes out is what was asked for, the etcd hosts
// are no nodes, the control planes have no member, and a second run changes nothing.
// Then it is upgraded. In `make e2e-full` it is larger, it is in use meanwhile, of which no
// request may be lost, and it is taken off its hosts and made again there: eight of them keep
// two cores so busy that requests wait for a processor.
func TestSeparateEtcdHosts(t *testing.T) {
	size := labSize{controlPlanes: 2, workers: 1, etcd: 3}
	if suite.full {
		size = labSize{controlPlanes: 3, workers: 2, etcd: 3}
	}
	l := ownLab(t, "e2e-etcd", suite.other, size)
	bare := l.bareness(t)
	c := l.cluster(t, "etcd", "")
	c.bootstrap(t)
	c.settled(t)
	c.checkShape(t)
	c.checkMembers(t)
	c.checkSecondRun(t)
	c.checkNewSettings(t)
	if suite.full {
		// The upgrade must not lose it, and the uninstall takes it away.
		c.changeBalancer(t, "haproxy")
		c.checkBalancer(t)
	}
	t.Run("upgrade", c.upgradeInUse)
	if suite.full {
		t.Run("uninstall", func(t *testing.T) {
			c.uninstall(t, bare)
			// Of the version from which it was upgraded.
			c.again(t)
		})
	}
}

// checkNewSettings: arguments that were changed in the file reach every member,
// one after the other, and what is in etcd stays.
func (c *cluster) checkNewSettings(t *testing.T) {
	t.Helper()
	hosts := c.names("etcd")
	before := c.etcdClusterID(t, hosts[0])
	c.file = c.lab.file(t, func(s string) string {
		return strings.Replace(s, "\nspec:\n", "\nspec:\n  etcd:\n    extraArgs: {snapshot-count: \"20000\"}\n", 1)
	})
	r := c.ha(t, 5*time.Minute, c.bootstrapArgs()...)
	if r.code != 0 {
		t.Fatalf("bootstrap with other arguments of etcd: %s", r)
	}
	for _, h := range hosts {
		if config := c.exec(t, h, "cat", "/etc/etcd/etcd.env"); !strings.Contains(config, `ETCD_SNAPSHOT_COUNT="20000"`) {
			t.Errorf("%s does not have the new argument: %s", h, config)
		}
		// The process was started after its file was written.
		started := c.exec(t, h, "stat", "-c", "%Y", "/proc/"+strings.TrimSpace(c.exec(t, h, "systemctl", "show", "--property=MainPID", "--value", "etcd")))
		written := c.exec(t, h, "stat", "-c", "%Y", "/etc/etcd/etcd.env")
		if strings.TrimSpace(started) < strings.TrimSpace(written) {
			t.Errorf("%s was not restarted: started at %s, the file is of %s", h, started, written)
		}
	}
	if after := c.etcdClusterID(t, hosts[0]); before == "" || after != before {
		t.Errorf("etcd's cluster was %s and is %s", before, after)
	}
	c.settled(t)
}

// checkMembers: the etcd hosts are the members, and have nothing of Kubernetes;
// the control planes have no member, and ask all of them.
func (c *cluster) checkMembers(t *testing.T) {
	t.Helper()
	hosts := c.names("etcd")
	if members := c.memberNames(t, hosts[0]); !slices.Equal(members, slices.Sorted(slices.Values(hosts))) {
		t.Errorf("the members are %v, want %v", members, hosts)
	}
	for _, h := range hosts {
		if r := c.try(t, h, nil, "systemctl", "is-active", "kubelet", "containerd", "keepalived"); strings.Contains("\n"+r.stdout, "\nactive") {
			t.Errorf("%s runs more than etcd: %s", h, r)
		}
		if r := c.try(t, h, nil, "find", "/", "-xdev", "-name", "ca.key", "-not", "-path", "/proc/*"); r.stdout != "" {
			t.Errorf("%s has the key of a CA: %s", h, r.stdout)
		}
	}
	for _, h := range c.names("control-plane") {
		if r := c.try(t, h, nil, "systemctl", "is-active", "etcd"); strings.TrimSpace(r.stdout) == "active" {
			t.Errorf("%s runs an etcd member", h)
		}
		manifest := c.exec(t, h, "cat", "/etc/kubernetes/manifests/kube-apiserver.yaml")
		for _, e := range hosts {
			if !strings.Contains(manifest, "https://"+hostAddress(c.lab, e)+":2379") {
				t.Errorf("%s's apiserver does not know the member %s", h, e)
			}
		}
	}
}
