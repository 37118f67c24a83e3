//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestStacked makes a cluster with kubeadm's own etcd, backs it up, and takes a control plane out and adds it again.
func TestStacked(t *testing.T) {
	c := newStacked(t, "e2e-stacked", suite.version)
	c.checkSecondRun(t)
	c.checkStackedHealth(t)
	t.Run("backup", c.stackedBackup)
	t.Run("a control plane leaves and comes back", c.stackedLeaves)
}

// TestStackedUpgrade upgrades such a cluster, etcd with it, while it is written to. In `make e2e-full` no request may be
// lost meanwhile, and the cluster is taken off its hosts at the end.
func TestStackedUpgrade(t *testing.T) {
	c := newStacked(t, "e2e-stacked-upgrade", suite.other)
	c.upgradeInUse(t)
	c.checkStackedMembers(t)
	c.checkStackedHealth(t)
	if suite.full {
		c.uninstall(t, c.bare)
	}
}

// stackedCluster is one with kubeadm's own etcd.
type stackedCluster struct {
	*cluster
	// bare is what its hosts were before.
	bare map[string]map[string]string
}

func newStacked(t *testing.T, name, version string) stackedCluster {
	t.Helper()
	l := ownLab(t, name, version, labSize{controlPlanes: 3, workers: 1})
	l.stacked = true
	bare := l.bareness(t)
	c := l.cluster(t, "stacked", "")
	c.bootstrap(t)
	c.settled(t)
	c.checkShape(t)
	c.checkStackedMembers(t)
	return stackedCluster{c, bare}
}

// checkStackedMembers: each control plane has a member that votes, in a pod, and no unit of systemd's; all know each
// other by their names; and the CA's key is where kubeadm has it, and on no worker.
func (c *cluster) checkStackedMembers(t *testing.T) {
	t.Helper()
	planes := c.names("control-plane")
	for _, h := range planes {
		if members := c.memberNames(t, h); !slices.Equal(members, slices.Sorted(slices.Values(planes))) {
			t.Errorf("on %s the members are %v, want %v", h, members, planes)
		}
		if r := c.try(t, h, nil, "systemctl", "is-active", "etcd"); strings.TrimSpace(r.stdout) == "active" {
			t.Errorf("%s runs etcd under systemd", h)
		}
		if mode := strings.TrimSpace(c.exec(t, h, "stat", "-c", "%a", "/etc/kubernetes/pki/etcd/ca.key")); mode != "600" {
			t.Errorf("%s: the mode of etcd's CA key is %s", h, mode)
		}
	}
	for _, h := range c.names("worker") {
		if r := c.try(t, h, nil, "find", "/etc/kubernetes/pki", "-name", "*.key"); strings.TrimSpace(r.stdout) != "" {
			t.Errorf("%s has keys: %s", h, r)
		}
	}
}

// checkStackedHealth: all that looks at the cluster finds it well.
func (c *cluster) checkStackedHealth(t *testing.T) {
	t.Helper()
	var s statusReport
	eventually(t, time.Minute, "status finds nothing wrong", func() (bool, string) {
		s = c.health(t)
		problems := problemsOf(s)
		return len(problems) == 0, tail(strings.Join(problems, "; "), 1000)
	})
	leaders := 0
	for _, m := range s.Etcd {
		if !m.Answers || !m.Measured {
			t.Errorf("etcd: %+v", m)
		}
		if m.Leader {
			leaders++
		}
	}
	if len(s.Etcd) != c.planes() || leaders != 1 {
		t.Errorf("%d members, %d leaders", len(s.Etcd), leaders)
	}
	for _, args := range [][]string{{"etcd", "status"}, {"etcd", "members"}, {"certs", "status"}, {"doctor"}} {
		if r := c.ha(t, 3*time.Minute, append(args, "--kubeconfig", c.kubeconfig)...); r.code != 0 {
			t.Errorf("%s: %s", strings.Join(args, " "), tail(r.String(), 4000))
		}
	}
}

// problemsOf are those of the cluster. How slow the disk is that all hosts of a lab share, and what else
// uses it, is none of them.
func problemsOf(s statusReport) []string {
	var out []string
	for _, p := range s.Problems {
		if strings.Contains(p.Message, "its disk is too slow") {
			continue
		}
		out = append(out, p.Subject+": "+p.Message)
	}
	return out
}

// stackedBackup: each control plane has one, which can be read back.
func (c *cluster) stackedBackup(t *testing.T) {
	if r := c.ha(t, 5*time.Minute, "backup", "create", "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Fatalf("backup create: %s", tail(r.String(), 4000))
	}
	c.checkBackupFiles(t)
	if r := c.ha(t, suiteDeadline, "backup", "list", "--hosts", "--kubeconfig", c.kubeconfig); r.code != 0 || !strings.Contains(r.stdout, "cp1") {
		t.Errorf("backup list: %s", r)
	}
}

// stackedLeaves: the first control plane of the document, well and with its member, is removed and cleaned, and
// added again over SSH; no request fails.
func (c *cluster) stackedLeaves(t *testing.T) {
	const host = "cp1"
	t.Logf("%s has the virtual IP", c.holder(t))
	p := c.prober(t, c.vip)
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	lossless(t, p, host+" leaves and comes back", func() {
		c.removeWell(t, host)
		if members := c.memberNames(t, "cp2"); !slices.Equal(members, []string{"cp2", "cp3"}) {
			t.Errorf("etcd's members without %s: %v", host, members)
		}
		c.added(t, host)
	})
	c.settled(t)
	c.checkStackedMembers(t)
}
