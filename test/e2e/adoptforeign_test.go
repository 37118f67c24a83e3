//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAdoptedKeepalived: a cluster that kubeadm alone made, with stacked etcd and keepalived by
// hand, is adopted, looked at, upgraded and released; what its owners set up is as it was.
func TestAdoptedKeepalived(t *testing.T) {
	f := newForeign(t, "e2e-foreign", "VIP:6443", labSize{controlPlanes: 3, workers: 1}, keepalived(t))
	f.life(t, foreignTold{adopt: []string{"does not keep", fmt.Sprintf("router %d", foreignRouter)}, stored: "virtualIP: " + f.vip, plan: f.endpoint + " is not kubectl ha's", status: f.endpoint + ", held by "})
}

// TestAdoptedName: the same where the endpoint is a name that the hosts alone know.
func TestAdoptedName(t *testing.T) {
	f := newForeign(t, "e2e-foreign-name", "api.foreign.example:6443", labSize{controlPlanes: 2, workers: 1}, named(t))
	f.life(t, foreignTold{adopt: []string{"is a name", fmt.Sprintf("router %d", foreignRouter)}, stored: "address: " + f.endpoint, plan: f.endpoint + " is not kubectl ha's", status: f.endpoint})
}

// TestAdoptedNodeEndpoint: one control plane, whose own address is the endpoint: it is told, and
// not taken for a virtual IP.
func TestAdoptedNodeEndpoint(t *testing.T) {
	f := newForeign(t, "e2e-foreign-node", "CP1:6443", labSize{controlPlanes: 1, workers: 1}, nothing)
	f.life(t, foreignTold{adopt: []string{"is the own address of cp1"}, stored: "address: " + f.endpoint, plan: "all requests fail until its apiserver is back", status: f.endpoint})
}

// foreignTold is what is said of a cluster's endpoint on its way.
type foreignTold struct {
	adopt                []string
	stored, plan, status string
}

// life is all that is done to an adopted cluster, until it is released.
func (f *foreign) life(t *testing.T, want foreignTold) {
	t.Helper()
	before := f.owners(t)
	f.dryRun(t)
	f.adopted(t, want)
	f.looks(t, want)
	f.upgraded(t, want)
	f.unchanged(t, before)
	f.released(t)
	f.unchanged(t, before)
}

// well waits until all nodes are Ready, with a lease by which their kubelets are heard of, and CoreDNS is available.
func (f *foreign) well(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	want := len(f.members("control-plane", "worker"))
	eventually(t, 5*time.Minute, "all nodes are Ready, and CoreDNS is available", func() (bool, string) {
		nodes, err := f.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		for _, n := range nodes.Items {
			if !ready(n) {
				return false, n.Name + " is not Ready"
			}
			// It comes up to ten seconds later.
			if _, err := f.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, n.Name, metav1.GetOptions{}); err != nil {
				return false, err.Error()
			}
		}
		d, err := f.client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		return len(nodes.Items) == want && d.Status.AvailableReplicas == d.Status.Replicas && d.Status.AvailableReplicas > 0, fmt.Sprintf("%d nodes, %d replicas of CoreDNS", len(nodes.Items), d.Status.AvailableReplicas)
	})
}

// owners are the files of those who made the cluster, with their sums, by host.
func (f *foreign) owners(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, h := range f.members("control-plane") {
		// keepalived is there in some.
		out[h] = f.exec(t, h, "sh", "-c", "sha256sum /etc/keepalived/* /etc/containerd/config.toml /etc/containerd/certs.d/*/* /etc/systemd/system/kubelet.service /etc/systemd/system/containerd.service /etc/cni/net.d/*; true")
	}
	return out
}

func (f *foreign) unchanged(t *testing.T, before map[string]string) {
	t.Helper()
	for h, now := range f.owners(t) {
		if now != before[h] {
			t.Errorf("%s: what its owners set up has changed:\n%s\nwas\n%s", h, now, before[h])
		}
	}
}

// dryRun tells the truth by the API alone, and stores nothing.
func (f *foreign) dryRun(t *testing.T) {
	t.Helper()
	r := f.ha(t, suiteDeadline, "adopt", "--dry-run", "--kubeconfig", f.kubeconfig)
	if r.code != 0 || !strings.Contains(r.stdout, "managedBy: others") || !strings.Contains(r.stdout, "topology: stacked") || strings.Contains(r.stdout, "routerID") || strings.Contains(r.stdout, "loadBalancer") {
		t.Errorf("adopt --dry-run: %s", r)
	}
	if _, err := f.client.CoreV1().Namespaces().Get(context.Background(), "ha-system", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a dry run has stored something: %v", err)
	}
}

// adopted has the cluster adopted. The document is given what a lab's hosts need of kubeadm.
func (f *foreign) adopted(t *testing.T, want foreignTold) {
	t.Helper()
	start := time.Now()
	r := f.adopt(t)
	if r.code != 0 {
		t.Fatalf("adopt: %s", r)
	}
	t.Logf("adopted in %s:\n%s", time.Since(start).Round(time.Second), r.stderr)
	for _, text := range append(want.adopt, "upgrade, certs rotate-ca") {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("adopt does not tell %q: %s", text, r.stderr)
		}
	}
	ctx, maps := context.Background(), f.client.CoreV1().ConfigMaps("ha-system")
	stored, err := maps.Get(ctx, "cluster", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text := stored.Data["cluster.yaml"]
	if !strings.Contains(text, want.stored) || !strings.Contains(text, "managedBy: others") || strings.Contains(text, "routerID") {
		t.Errorf("stored is\n%s", text)
	}
	stored.Data["cluster.yaml"] = strings.Replace(text, "\nspec:\n", "\nspec:\n  kubeadm: {ignorePreflightErrors: [SystemVerification, Swap], kubeletConfiguration: {failCgroupV1: false, failSwapOn: false}}\n", 1)
	if _, err := maps.Update(ctx, stored, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// looks: status and doctor see a cluster in which nothing is wrong.
func (f *foreign) looks(t *testing.T, want foreignTold) {
	t.Helper()
	s := f.ha(t, suiteDeadline, "status", "--kubeconfig", f.kubeconfig)
	if !strings.Contains(s.stdout, want.status) || strings.Contains(s.stdout, "✗") {
		t.Errorf("status: %s", s)
	}
	t.Logf("status: %s", s)
	r := f.ha(t, suiteDeadline, "doctor", "--kubeconfig", f.kubeconfig, "-o", "json")
	var d struct {
		Checks []struct{ ID, State, Skipped string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &d); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	seen := map[string]string{}
	for _, check := range d.Checks {
		seen[check.ID] = check.State
		switch check.State {
		case "skipped": // Nothing is out of sight any more.
			t.Errorf("doctor: %+v", check)
		case "ok":
		default: // kubeadm alone has two replicas of CoreDNS where the first control plane is, for one.
			t.Logf("doctor: %+v", check)
		}
	}
	for _, id := range []string{"kube-proxy-endpoint", "join-endpoint", "kubeconfig-endpoint", "one-holder", "address-watch"} {
		if seen[id] != "ok" {
			t.Errorf("doctor: %s is %q", id, seen[id])
		}
	}
}

// upgraded: the plan says what the endpoint's own mechanism costs, and the upgrade costs no more:
// the address stays where it is, and requests fail only while the holder's apiserver restarts.
func (f *foreign) upgraded(t *testing.T, want foreignTold) {
	t.Helper()
	newer := &lab{name: f.name, dir: f.dir, version: suite.version, cached: f.cached, stacked: true}
	bundle := newer.bundle(t)
	plan := f.ha(t, suiteDeadline, "upgrade", suite.version, "--bundle", bundle, "--dry-run", "--kubeconfig", f.kubeconfig)
	if !strings.Contains(plan.stdout, want.plan) || strings.Contains(plan.stdout, "move the virtual IP") {
		t.Errorf("the plan: %s", plan)
	}
	p := f.asked(t)
	start, stop := time.Now(), p.start()
	t.Cleanup(stop)
	writes := f.writer(t)
	r := f.ha(t, upgradeDeadline, "upgrade", suite.version, "--bundle", bundle, "--kubeconfig", f.kubeconfig, "--yes")
	written := writes()
	stop()
	if r.code != 0 {
		t.Fatalf("the upgrade: %s", tail(r.String(), 8000))
	}
	o := p.outageSince(start)
	t.Logf("the upgrade took %s; through %s: %s; %d writes were acknowledged", time.Since(start).Round(time.Second), f.endpoint, o, len(written))
	// The holder's apiserver restarts once, and once more for what its kubelet changes.
	if failed := float64(o.failed) / float64(max(1, o.requests)); failed > 0.2 {
		t.Errorf("more than the holder's restarts: %s\n%s", o, p.timeline(start))
	}
	for _, name := range written {
		if _, err := f.client.CoreV1().ConfigMaps("default").Get(context.Background(), name, metav1.GetOptions{}); err != nil {
			t.Errorf("an acknowledged write is gone: %v", err)
		}
	}
	f.well(t)
	f.checkUpgraded(t)
}

// released: nothing of kubectl-ha is left, and the cluster runs on as it is.
func (f *foreign) released(t *testing.T) {
	t.Helper()
	plan := f.overSSH(t, "adopt", "--release", "--dry-run", "--kubeconfig", f.kubeconfig)
	if plan.code != 0 || !strings.Contains(plan.stdout, "namespaces ha-system") || !strings.Contains(plan.stdout, "/usr/local/bin/kubelet") {
		t.Errorf("adopt --release --dry-run: %s", plan)
	}
	r := f.overSSH(t, "adopt", "--release", "--yes", "--kubeconfig", f.kubeconfig)
	if r.code != 0 {
		t.Fatalf("adopt --release: %s", r)
	}
	for _, h := range f.members("control-plane", "worker") {
		left := f.exec(t, h, "sh", "-c", "ls -d /usr/local/lib/kubectl-ha /var/lib/kubectl-ha /etc/kubectl-ha /etc/systemd/system/kubectl-ha* /run/kubectl-ha 2>/dev/null; ctr -n k8s.io images list -q | grep kubectl-ha; true")
		if strings.TrimSpace(left) != "" {
			t.Errorf("%s still has %s", h, left)
		}
	}
	ctx := context.Background()
	if _, err := f.client.CoreV1().Namespaces().Get(ctx, "ha-system", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace is left: %v", err)
	}
	left := f.exec(t, f.names("control-plane")[0], "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get",
		"customresourcedefinitions,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings", "-o", "name")
	roles := f.exec(t, f.names("control-plane")[0], "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get", "roles,rolebindings", "-A", "--no-headers")
	for _, mark := range []string{"kubectl-ha", "/ha-", " ha-"} {
		if strings.Contains(left, mark) || strings.Contains(roles, mark) {
			t.Errorf("objects of kubectl ha are left:\n%s%s", left, roles)
		}
	}
	nodes, err := f.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes.Items {
		for key := range n.Annotations {
			if strings.HasPrefix(key, "kubectl-ha.dev/") {
				t.Errorf("%s still has the annotation %s", n.Name, key)
			}
		}
	}
	f.well(t)
	f.checkUpgraded(t)
	if r := f.overSSH(t, "adopt", "--release", "--yes", "--kubeconfig", f.kubeconfig); r.code == 0 {
		t.Errorf("a second release: %s", r)
	}
}
