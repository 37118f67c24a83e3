package cmd

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

func TestUpgradeUsage(t *testing.T) {
	for args, want := range map[string]string{
		"upgrade v1.36.3 v1.37.0":             "specify the version, and nothing else",
		"upgrade plna":                        `did you mean "plan"`,
		"upgrade v1.36.3 --only etcd":         "unknown value --only etcd",
		"upgrade v1.36.3 --max-unavailable 0": "--max-unavailable",
		"upgrade v1.36.3 --drain-timeout 0s":  "must be greater than 0",
		"upgrade v1.36.3 --keep-backups 0":    "must be at least 1",
		"upgrade v1.36.3 --ignore skew":       "cannot be ignored",
		"upgrade v1.36.3 -o xml":              `the output format "xml"`,
		"upgrade plan v1.36.3 -o wide":        `the output format "wide"`,
		"upgrade rollback-node":               "specify the node",
		"backup lst":                          `did you mean "list"`,
	} {
		code, _, errOut := run(t, strings.Fields(args)...)
		if code != cli.ExitUsage || !strings.Contains(errOut, want) {
			t.Errorf("%s: exit code %d, %s", args, code, errOut)
		}
	}
}

// TestUpgradePlanned asks about a cluster of a real API server and played nodes.
func TestUpgradePlanned(t *testing.T) {
	s := kubetest.Start(t)
	kube, err := kubernetes.NewForConfig(s.Config)
	must(t, err)
	c, _, err := v1alpha1.Load([]byte(strings.Join([]string{
		"apiVersion: kubectl-ha.dev/v1alpha1", "kind: Cluster", "metadata: {name: test}",
		"spec:", "  kubernetesVersion: v1.35.4", "  virtualIP: 127.0.78.100", "  hosts:",
		"  - {name: cp1, address: 127.0.78.11, roles: [control-plane]}",
		"  - {name: w1, address: 127.0.78.21}", "",
	}, "\n")), "cluster.yaml")
	if err != nil {
		// Loopback addresses are refused in a file.
		c = &v1alpha1.Cluster{}
		c.Metadata.Name, c.Spec.KubernetesVersion, c.Spec.VirtualIP = "test", "v1.35.4", "127.0.78.100"
		c.Spec.Hosts = []v1alpha1.Host{{Name: "cp1", Address: "127.0.78.11", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, {Name: "w1", Address: "127.0.78.21", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}}}
		c.SetDefaults()
	}
	_, err = incluster.Install(t.Context(), s.Config, c)
	must(t, err)
	playNodes(t, kube, c)
	yes := true
	_, err = kube.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "scratch", OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "scratch", UID: "1", Controller: &yes}}},
		Spec: corev1.PodSpec{NodeName: "w1", Containers: []corev1.Container{{Name: "c", Image: "scratch"}},
			Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}},
	}, metav1.CreateOptions{})
	must(t, err)
	ask := func(want int, args ...string) string {
		t.Helper()
		code, out, errOut := run(t, append(args, "--kubeconfig", s.Kubeconfig)...)
		if code != want {
			t.Fatalf("%v: exit code %d: %s%s", args, code, out, errOut)
		}
		return out + errOut
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"upgrade plan v1.36.3", cli.ExitOK, "1      cp1    control plane   v1.35.4   v1.36.3   no        the API is away while its apiserver restarts"},
		{"upgrade plan v1.36.3", cli.ExitOK, "2      w1     worker          v1.35.4   v1.36.3   yes"},
		{"upgrade plan v1.36.3 --only nodes", cli.ExitFindings, "a kubelet must not be newer"},
		{"upgrade v1.9.2", cli.ExitFindings, "possible from here: v1.35.4 and later of v1.35, any v1.36"},
		{"upgrade 1.36.3 --dry-run -o json", cli.ExitOK, `"turn":2`},
		{"upgrade v1.36.3 -o yaml", cli.ExitOK, "name: upgrade-v1-36-3-coordinator"},
		{"upgrade v1.36.3 -o yaml", cli.ExitOK, "deleteEmptyDirData: true"},
		{"upgrade v1.36.3 -o yaml --delete-emptydir-data=false", cli.ExitOK, "deleteEmptyDirData: false"},
		{"upgrade v1.36.3 -o yaml --ignore disk,evictions", cli.ExitOK, "- disk\n    - evictions\n"},
		{"upgrade plan v1.36.3", cli.ExitOK, "w1  1 pod loses the data in emptyDir volumes: default/scratch"},
		{"upgrade plan v1.36.3 -o json", cli.ExitOK, `"losesData":["default/scratch"]`},
		{"upgrade plan v1.36.3 --delete-emptydir-data=false", cli.ExitFindings, "move what matters, or allow it with --delete-emptydir-data"},
		{"upgrade rollback-node w1", cli.ExitUsage, "specify it with --to"},
		{"upgrade rollback-node w1 --to v1.36.0", cli.ExitFindings, "newer than an apiserver"},
		{"backup list", cli.ExitOK, "No Operation"},
		{"upgrade v1.35.4", cli.ExitOK, "Every node is at v1.35.4, nothing to do."},
	} {
		if got := ask(c.code, strings.Fields(c.args)...); !strings.Contains(got, c.want) {
			t.Errorf("%s says %s", c.args, got)
		}
	}
	// Nothing of this has written anything.
	ops, err := incluster.NewOperations(s.Config, nil)
	must(t, err)
	if all, err := ops.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("there are operations %v, %v", all, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// playNodes makes the nodes that a kubeadm cluster at v1.35.4 has.
func playNodes(t *testing.T, kube kubernetes.Interface, c *v1alpha1.Cluster) {
	t.Helper()
	ctx := context.Background()
	_, err := kube.CoreV1().ConfigMaps("kube-system").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kubeadm-config"}, Data: map[string]string{"ClusterConfiguration": "kubernetesVersion: v1.35.4\n"}}, metav1.CreateOptions{})
	must(t, err)
	for _, h := range c.Nodes() {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: h.Name, Labels: map[string]string{}}}
		if h.Has(v1alpha1.RoleControlPlane) {
			n.Labels["node-role.kubernetes.io/control-plane"] = ""
			for _, component := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
				_, err := kube.CoreV1().Pods("kube-system").Create(ctx, &corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{Name: component + "-" + h.Name, Labels: map[string]string{"tier": "control-plane", "component": component}, Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"}},
					Spec:       corev1.PodSpec{NodeName: h.Name, Containers: []corev1.Container{{Name: "c", Image: fmt.Sprintf("registry.k8s.io/%s:v1.35.4", component)}}},
				}, metav1.CreateOptions{})
				must(t, err)
			}
		}
		n, err := kube.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{})
		must(t, err)
		n.Status.NodeInfo.KubeletVersion = "v1.35.4"
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		_, err = kube.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{})
		must(t, err)
		fresh := metav1.NewMicroTime(time.Now().Add(time.Hour))
		_, err = kube.CoordinationV1().Leases("kube-node-lease").Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: h.Name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &h.Name, RenewTime: &fresh}}, metav1.CreateOptions{})
		must(t, err)
	}
}

// TestDeleteEmptyDirData: an upgrade empties nodes of pods with data in emptyDir volumes and says
// so, a removal does not unless it is told to.
func TestDeleteEmptyDirData(t *testing.T) {
	root := NewRoot(genericiooptions.NewTestIOStreamsDiscard())
	for want, paths := range map[string][]string{"true": {"upgrade", "upgrade plan"}, "false": {"node remove", "node replace"}} {
		for _, path := range paths {
			c, _, err := root.Find(strings.Fields(path))
			if err != nil {
				t.Fatal(err)
			}
			if f := c.Flags().Lookup("delete-emptydir-data"); f == nil || f.DefValue != want || f.Value.String() != want {
				t.Errorf("%s: %+v, want %s", path, f, want)
			}
		}
	}
}
