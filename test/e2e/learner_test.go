//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestLearnerOfADeadHost: the host that a learner was added for dies before etcd has begun on
// it. Nobody else can be added then; whoever tries is told of the verb that takes the learner
// out, and so is whoever asks doctor. After that another host is added.
func TestLearnerOfADeadHost(t *testing.T) {
	c := copyWithHosts(t, 5)
	address := map[string]string{}
	for _, h := range c.cached.Hosts {
		address[h.Name] = h.Address
	}
	peer := func(host string) string { return "https://" + address[host] + ":2380" }
	// What node add does first; the host dies in the middle of that step, which has no end to
	// be killed at.
	if r := c.etcdctl(t, "cp1", "member", "add", "cp4", "--learner", "--peer-urls="+peer("cp4")); r.code != 0 {
		t.Fatalf("member add: %s", r)
	}
	c.run(t, "kill", "cp4")
	file, verb := c.with(t, "cp5"), "kubectl ha node remove --etcd-member "+peer("cp4")
	add := func() result {
		return c.ha(t, replaceDeadline, "node", "add", "cp5", "-f", file, "--bundle", suite.bundles[c.bundleKey()], "--kubeconfig", c.kubeconfig, "--yes")
	}
	remove := func(args ...string) result {
		return c.ha(t, replaceDeadline, append([]string{"node", "remove", "--kubeconfig", c.kubeconfig, "--yes"}, args...)...)
	}
	if r := add(); r.code == 0 || !strings.Contains(r.String(), verb) {
		t.Errorf("node add beside the learner: %s", tail(r.String(), 6000))
	}
	if r := c.ha(t, suiteDeadline, "doctor", "--kubeconfig", c.kubeconfig); !strings.Contains(strings.Join(strings.Fields(r.stdout), " "), verb) {
		t.Errorf("doctor does not tell of it: %s", r)
	}
	if r := remove("cp4"); r.code != 3 || !strings.Contains(r.stdout, "--etcd-member") {
		t.Errorf("node remove of a host that is no node: %s", r)
	}
	for _, used := range []string{"cp1", peer("cp2")} {
		if r := remove("--etcd-member", used); r.code != 3 || !strings.Contains(r.stdout, "is part of the cluster") {
			t.Errorf("the member %s, which is in use: %s", used, r)
		}
	}
	if r := remove("--etcd-member", peer("cp4")); r.code != 0 || !strings.Contains(r.stdout, peer("cp4")+" is out") {
		t.Fatalf("%s: %s", verb, tail(r.String(), 6000))
	}
	if list := c.etcdctl(t, "cp1", "member", "list"); strings.Count(list.stdout, "started") != 3 || strings.Contains(list.stdout, address["cp4"]+":") {
		t.Fatalf("the members are %s", list)
	}
	if r := remove("--etcd-member", peer("cp4")); r.code != 0 || !strings.Contains(r.stdout, "there is no such member") {
		t.Errorf("once more: %s", tail(r.String(), 6000))
	}
	if r := add(); r.code != 0 {
		t.Fatalf("node add once the learner is gone: %s", tail(r.String(), 6000))
	}
	if list := c.etcdctl(t, "cp5", "member", "list"); strings.Count(list.stdout, "started") != 4 || strings.Contains(list.stdout, "true") {
		t.Errorf("the members are %s", list)
	}
}
