//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestConvert makes a highly available cluster of one that kubeadm alone made, with one control
// plane whose own address is the endpoint: a virtual IP, back again, and once more with two
// control planes that are added. The coordinator is killed twice in each. No request
// of the application fails, and none to the API, at the former endpoint nor at the new one.
func TestConvert(t *testing.T) {
	f := newForeign(t, "e2e-convert", "CP1:6443", labSize{controlPlanes: 3, workers: 1}, nothing, "cp2", "cp3")
	f.adopted(t, foreignTold{adopt: []string{"is the own address of cp1"}, stored: "address: " + f.endpoint})
	app := f.deployApp(t)
	servers := f.servers(t)

	f.convertPlanned(t)
	if !f.convert(t, app, "--virtual-ip", f.vip) {
		return
	}
	f.uses(t, f.vip+":6443")
	f.convert(t, app, "--undo")
	f.uses(t, f.endpoint)
	f.leftNothing(t)
	if now := f.servers(t); now != servers {
		t.Errorf("an API server has restarted: %s, and was %s", now, servers)
	}

	older := &lab{name: f.name, dir: f.dir, version: f.version, cached: f.cached, stacked: true}
	if !f.convert(t, app, "--virtual-ip", f.vip, "--control-plane", "cp2="+hostAddress(f.lab, "cp2"), "--control-plane", "cp3="+hostAddress(f.lab, "cp3"), "--bundle", older.bundle(t)) {
		return
	}
	f.bare = nil
	f.uses(t, f.vip+":6443")
	if members := f.memberNames(t, "cp1"); !slices.Equal(members, []string{"cp1", "cp2", "cp3"}) {
		t.Errorf("etcd's members are %v", members)
	}
	f.outlivesTheFirst(t)
}

// servers are the containers of the API servers, with when they were started.
func (f *foreign) servers(t *testing.T) string {
	t.Helper()
	pods, err := f.client.CoreV1().Pods(metav1.NamespaceSystem).List(context.Background(), metav1.ListOptions{LabelSelector: "component=kube-apiserver"})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range pods.Items {
		for _, c := range p.Status.ContainerStatuses {
			out = append(out, p.Spec.NodeName+" "+c.ContainerID)
		}
	}
	return strings.Join(out, ", ")
}

// convertPlanned: the plan is shown, and nothing is done.
func (f *foreign) convertPlanned(t *testing.T) {
	t.Helper()
	r := f.ha(t, suiteDeadline, "convert", "--virtual-ip", f.vip, "--dry-run", "--kubeconfig", f.kubeconfig)
	for _, want := range []string{"without a restart", "see that kube-proxy uses " + f.vip, f.endpoint + " go on working, for as long as cp1 lives", "one control plane"} {
		if r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("the plan has no %q: %s", want, r)
		}
	}
	for _, c := range []struct{ virtualIP, want string }{{hostAddress(f.lab, "w1"), "address of host w1"}, {hostAddress(f.lab, "cp1"), "that nobody has"}} {
		if r := f.ha(t, suiteDeadline, "convert", "--virtual-ip", c.virtualIP, "--yes", "--kubeconfig", f.kubeconfig); r.code == 0 || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: %s", c.virtualIP, r)
		}
	}
	f.uses(t, f.endpoint)
}

// convert runs the command while the application and the former endpoint are asked, and the
// coordinator is killed; it reports whether it came to its end.
func (f *foreign) convert(t *testing.T, app *prober, args ...string) (ok bool) {
	t.Helper()
	what := strings.Join(args[:min(2, len(args))], " ")
	direct := f.prober(t, hostAddress(f.lab, "cp1"))
	if err := direct.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	lossless(t, app, what+", the application", func() {
		lossless(t, direct, what+", the API at "+f.endpoint, func() {
			// On one host both coordinators back off together: more would end in minutes of waiting.
			stop := f.killCoordinators(t, 2, f.operationThatRuns)
			r := f.overSSH(t, append([]string{"convert", "--yes", "--kubeconfig", f.kubeconfig}, args...)...)
			stop()
			if ok = r.code == 0; !ok {
				t.Errorf("convert %s: %s", what, tail(r.String(), 8000))
			}
		})
	})
	t.Logf("convert %s took %s", what, time.Since(start).Round(time.Second))
	return ok
}

// uses: whatever in the cluster has an endpoint has this one, and it answers.
func (f *foreign) uses(t *testing.T, endpoint string) {
	t.Helper()
	ctx := context.Background()
	for _, m := range []struct{ namespace, name, key, want string }{
		{metav1.NamespaceSystem, "kube-proxy", "kubeconfig.conf", "server: https://" + endpoint},
		{metav1.NamespacePublic, "cluster-info", "kubeconfig", "server: https://" + endpoint},
		{metav1.NamespaceSystem, "kubeadm-config", "ClusterConfiguration", "controlPlaneEndpoint: " + endpoint},
	} {
		c, err := f.client.CoreV1().ConfigMaps(m.namespace).Get(ctx, m.name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.ReplaceAll(c.Data[m.key], `"`, ""); !strings.Contains(text, m.want) {
			t.Errorf("%s/%s does not have %s:\n%s", m.namespace, m.name, m.want, text)
		}
	}
	for _, h := range f.members("worker") {
		if text := f.exec(t, h, "cat", "/etc/kubernetes/kubelet.conf"); !strings.Contains(text, "server: https://"+endpoint+"\n") {
			t.Errorf("the kubelet of %s does not use %s", h, endpoint)
		}
	}
	for _, h := range f.members("control-plane") {
		if text := f.exec(t, h, "grep", "server:", "/etc/kubernetes/admin.conf"); !strings.Contains(text, "https://"+endpoint+"\n") {
			t.Errorf("admin.conf of %s has %s", h, text)
		}
		// It is kubeadm's own file, and its login works there.
		if r := f.try(t, h, nil, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get", "--raw=/readyz"); r.code != 0 {
			t.Errorf("admin.conf of %s: %s", h, r)
		}
	}
	f.well(t)
	r := f.ha(t, 3*time.Minute, "doctor", "--kubeconfig", f.kubeconfig, "-o", "json")
	var d struct {
		Checks []struct {
			ID, State string
			Findings  []struct{ Message string }
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &d); err != nil {
		t.Fatalf("doctor: %v: %s", err, r)
	}
	for _, check := range d.Checks {
		switch check.ID {
		case "kube-proxy-endpoint", "join-endpoint", "one-holder", "address-watch":
			if check.State != "ok" {
				t.Errorf("doctor: %+v", check)
			}
		default:
			if check.State != "ok" {
				t.Logf("doctor: %+v", check)
			}
		}
	}
}

// leftNothing: the virtual IP is gone, and what kept it.
func (f *foreign) leftNothing(t *testing.T) {
	t.Helper()
	if hs := f.holders(t); len(hs) > 0 {
		t.Errorf("%v still have the virtual IP", hs)
	}
	for _, h := range f.members("control-plane") {
		r := f.try(t, h, nil, "sh", "-c", "systemctl is-active keepalived.service kubectl-ha-vip.service | grep -v inactive; ls /etc/keepalived/keepalived.conf /etc/kubectl-ha/vip.json /etc/systemd/system/kubectl-ha-vip.service 2>/dev/null; true")
		if strings.TrimSpace(r.stdout) != "" {
			t.Errorf("%s still has %s", h, r.stdout)
		}
	}
}

// outlivesTheFirst: the host that was all of the control plane is taken away, and the cluster serves,
// keeps what was written before, and takes writes.
func (f *foreign) outlivesTheFirst(t *testing.T) {
	t.Helper()
	access := f.kubeconfig + ".vip"
	r := f.ha(t, suiteDeadline, "kubeconfig", "--vip", "--out", access, "--kubeconfig", f.kubeconfig)
	if r.code != 0 {
		t.Fatalf("kubeconfig --vip: %s", r)
	}
	f.kubeconfig = access
	f.connect(t)
	f.settled(t)
	o := f.failOnce(t, failures()[0], "convert-outlives")
	t.Logf("the holder paused: %s", o)
	if o.late > o.requests/10 {
		t.Errorf("it did not stay: %s", o)
	}
	f.run(t, "pause", "cp1")
	defer f.run(t, "unpause", "cp1")
	eventually(t, time.Minute, "the API serves without cp1", func() (bool, string) {
		_, err := f.client.CoreV1().ConfigMaps("default").Create(context.Background(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "without-cp1"}}, metav1.CreateOptions{})
		return err == nil, fmt.Sprint(err)
	})
}
