package cmd

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// another is what kubeadm leaves in the API of a cluster with stacked etcd, in which
// kube-proxy goes to the first control plane. Its hosts are addresses of this machine
// where nobody listens.
func another(t *testing.T, s *kubetest.Server) kubernetes.Interface {
	t.Helper()
	kube, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	login := func(server string) string {
		return "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: " + server + "\n"
	}
	for _, m := range []struct{ namespace, name, key, content string }{
		{"kube-system", "kubeadm-config", "ClusterConfiguration", "clusterName: prod\ncontrolPlaneEndpoint: 127.0.0.100:6443\nkubernetesVersion: v1.36.3\nimageRepository: registry.k8s.io\n" +
			"etcd: {local: {dataDir: /var/lib/etcd}}\nnetworking: {dnsDomain: cluster.local, podSubnet: 10.1.0.0/16, serviceSubnet: 10.96.0.0/16}\n"},
		{"kube-system", "kube-proxy", "kubeconfig.conf", login("https://127.0.0.11:6443")},
		{"kube-public", "cluster-info", "kubeconfig", login("https://127.0.0.100:6443")},
	} {
		_, err := kube.CoreV1().ConfigMaps(m.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: m.name}, Data: map[string]string{m.key: m.content}}, metav1.CreateOptions{})
		check(err)
	}
	for i, name := range []string{"m1", "m2", "m3", "w1"} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
		if i < 3 {
			n.Labels["node-role.kubernetes.io/control-plane"] = ""
			n.Spec.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
		}
		made, err := kube.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{})
		check(err)
		made.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("127.0.0.%d", 11+i)}}
		made.Status.NodeInfo.KubeletVersion = "v1.36.3"
		made.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		_, err = kube.CoreV1().Nodes().UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
		check(err)
	}
	all := intstr.FromInt32(0)
	b, err := kube.PolicyV1().PodDisruptionBudgets("default").Create(t.Context(), &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &all, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}}}, metav1.CreateOptions{})
	check(err)
	b.Status = policyv1.PodDisruptionBudgetStatus{ExpectedPods: 1, CurrentHealthy: 1, DesiredHealthy: 1}
	_, err = kube.PolicyV1().PodDisruptionBudgets("default").UpdateStatus(t.Context(), b, metav1.UpdateOptions{})
	check(err)
	return kube
}

// states runs doctor, and returns each check's state.
func states(t *testing.T, kubeconfig string, wantCode int) map[string]string {
	t.Helper()
	code, out, errOut := run(t, "doctor", "--quick", "-o", "json", "--kubeconfig", kubeconfig)
	var d struct {
		Checks []struct{ ID, State string }
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != wantCode {
		t.Fatalf("exit code %d, %v: %s %s", code, err, out, errOut)
	}
	got := map[string]string{}
	for _, c := range d.Checks {
		got[c.ID] = c.State
	}
	return got
}

// TestAnothersCluster: status and doctor on a cluster of another tool, then adopt, all of
// it against a real kube-apiserver.
func TestAnothersCluster(t *testing.T) {
	s := kubetest.Start(t)
	kube := another(t, s)
	want := map[string]string{"kube-proxy-endpoint": "problem", "join-endpoint": "ok", "stable-endpoint": "ok", "drainable": "warning", "left-cordoned": "ok",
		"control-planes": "problem", "etcd-answers": "problem", "one-holder": "skipped", "etcd-strict": "skipped", "balancer": "ok", "pod-security": "ok"}
	check := func(when string, got map[string]string) {
		for id, state := range want {
			if got[id] != state {
				t.Errorf("%s: %s is %s, want %s", when, id, got[id], state)
			}
		}
	}
	check("before", states(t, s.Kubeconfig, cli.ExitFindings))
	code, out, errOut := run(t, "doctor", "--kubeconfig", s.Kubeconfig)
	if code != cli.ExitFindings || !strings.Contains(out, "kubectl ha adopt") || !strings.Contains(out, "default/db") {
		t.Errorf("doctor: %d %s %s", code, out, errOut)
	}
	if code, out, errOut := run(t, "status", "--kubeconfig", s.Kubeconfig); code != cli.ExitBroken || !strings.Contains(out, "Cluster prod") || !strings.Contains(out, "w1") {
		t.Errorf("status: %d %s %s", code, out, errOut)
	}
	if code, _, errOut := run(t, "doctor", "--fix", "--yes", "--quick", "--kubeconfig", s.Kubeconfig); code != cli.ExitOK || !strings.Contains(errOut, "None of these") {
		t.Errorf("doctor --fix: %d %s", code, errOut)
	}
	code, out, errOut = run(t, "adopt", "--dry-run", "--kubeconfig", s.Kubeconfig)
	if code != cli.ExitOK || !strings.Contains(out, "topology: stacked") || !strings.Contains(out, "virtualIP: 127.0.0.100") ||
		!strings.Contains(out, "managedBy: others") || strings.Contains(out, "routerID") || !strings.Contains(errOut, "does not keep") || !strings.Contains(errOut, "upgrade, certs rotate-ca") {
		t.Errorf("adopt --dry-run: %d %s %s", code, out, errOut)
	}
	if _, err := kube.CoreV1().Namespaces().Get(t.Context(), "ha-system", metav1.GetOptions{}); err == nil {
		t.Error("a dry run has stored something")
	}
	if code, _, errOut := runIn(t, "n\n", "adopt", "--kubeconfig", s.Kubeconfig); code != cli.ExitUsage || !strings.Contains(errOut, "nothing was changed") {
		t.Errorf("adopt, declined: %d %s", code, errOut)
	}
	if code, _, errOut := run(t, "adopt", "--yes", "--kubeconfig", s.Kubeconfig); code != cli.ExitOK || !strings.Contains(errOut, "adopt --ssh") {
		t.Fatalf("adopt: %d %s", code, errOut)
	}
	if code, _, errOut := run(t, "adopt", "--yes", "--kubeconfig", s.Kubeconfig); code != cli.ExitUsage || !strings.Contains(errOut, "already") {
		t.Errorf("adopt again: %d %s", code, errOut)
	}
	// One that can't be read is one, too, and is not overwritten by what is found.
	maps := kube.CoreV1().ConfigMaps("ha-system")
	stored, err := maps.Get(t.Context(), "cluster", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	unreadable := stored.DeepCopy()
	for key := range unreadable.Data {
		unreadable.Data[key] = "kind: [Cluster"
	}
	if unreadable, err = maps.Update(t.Context(), unreadable, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := run(t, "adopt", "--yes", "--kubeconfig", s.Kubeconfig); code == cli.ExitOK || !strings.Contains(errOut, "nothing was changed") {
		t.Errorf("adopt beside a document that can't be read: %d %s", code, errOut)
	}
	if after, err := maps.Get(t.Context(), "cluster", metav1.GetOptions{}); err != nil || after.ResourceVersion != unreadable.ResourceVersion {
		t.Errorf("the document was written: %v", err)
	}
	stored.ResourceVersion = ""
	if _, err := maps.Update(t.Context(), stored, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	check("after", states(t, s.Kubeconfig, cli.ExitFindings))
	code, _, errOut = run(t, "doctor", "--fix", "--dry-run", "--quick", "--kubeconfig", s.Kubeconfig)
	// kube-proxy is others', whether the document is stored or not.
	if code != cli.ExitOK || !strings.Contains(errOut, "None of these") {
		t.Errorf("doctor --fix --dry-run: %d %s", code, errOut)
	}
}

// TestAdoptFlags: what is for adopting is not for the way back.
func TestAdoptFlags(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"adopt --release --ssh", "are for adopting"},
		{"adopt --release --virtual-ip 192.0.2.1", "are for adopting"},
		{"adopt --ssh-user root", "--ssh-user requires --ssh or --release"},
	} {
		if code, _, errOut := run(t, strings.Fields(tt.args)...); code != cli.ExitUsage || !strings.Contains(errOut, tt.want) {
			t.Errorf("%s: %d %s", tt.args, code, errOut)
		}
	}
}
