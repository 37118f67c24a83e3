package nodes

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// stored is a cluster of a control plane and a worker. Nobody has these addresses (RFC 5737).
func stored() *v1alpha1.Cluster { return clusterOf("cp1", "w1") }

// clusterOf has hosts by their names: cp… is a control plane.
func clusterOf(names ...string) *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "test"}, Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: "198.51.100.100"}}
	for _, name := range names {
		h := v1alpha1.Host{Name: name, Address: "198.51.100.2" + name[len(name)-1:], Roles: []v1alpha1.Role{v1alpha1.RoleWorker}}
		if name[:2] == "cp" {
			h.Address, h.Roles = "198.51.100.1"+name[len(name)-1:], []v1alpha1.Role{v1alpha1.RoleControlPlane}
		}
		c.Spec.Hosts = append(c.Spec.Hosts, h)
	}
	c.SetDefaults()
	return c
}

// running is stored() in a real API server, with nodes that are well but for what change does.
func running(t *testing.T, change func(*corev1.Node)) (*operate.Connection, *kubetest.Server) {
	t.Helper()
	s := kubetest.Start(t)
	if _, err := incluster.Install(t.Context(), s.Config, stored()); err != nil {
		t.Fatal(err)
	}
	kube, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kubeadm-config"},
		Data: map[string]string{"ClusterConfiguration": "kubernetesVersion: v1.36.3\n"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, h := range stored().Nodes() {
		if err := playNode(t.Context(), kube, h, change); err != nil {
			t.Fatal(err)
		}
	}
	haveAgents(t, s, kube)
	return connect(t, s), s
}

// haveAgents has the nodes report this program's agent, as they do once it is in their stores.
func haveAgents(t *testing.T, s *kubetest.Server, kube kubernetes.Interface) {
	t.Helper()
	source, err := agents.NewSource()
	if err != nil {
		t.Fatal(err)
	}
	own, err := source.Own(t.Context(), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes.Items {
		agent, err := own.For(agents.ArchOf(n))
		if err != nil {
			t.Fatal(err)
		}
		_, digest, _ := strings.Cut(agent.Image, "@")
		n.Status.Images = []corev1.ContainerImage{{Names: []string{bundle.AgentRepository + "@" + digest}}}
		if _, err := kube.CoreV1().Nodes().UpdateStatus(t.Context(), &n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func connect(t *testing.T, s *kubetest.Server) *operate.Connection {
	t.Helper()
	to, err := operate.Connect(t.Context(), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// playNode is what a kubelet does.
func playNode(ctx context.Context, kube kubernetes.Interface, h v1alpha1.Host, change func(*corev1.Node)) error {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: h.Name, Labels: map[string]string{corev1.LabelHostname: h.Name}}}
	if h.Has(v1alpha1.RoleControlPlane) {
		n.Labels["node-role.kubernetes.io/control-plane"] = ""
	}
	n, err := kube.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	n.Status.NodeInfo.KubeletVersion = "v1.36.3"
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	change(n)
	if _, err := kube.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{}); err != nil {
		return err
	}
	fresh := metav1.NewMicroTime(time.Now().Add(time.Hour))
	_, err = kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: h.Name},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &h.Name, RenewTime: &fresh}}, metav1.CreateOptions{})
	return err
}

// asIs leaves a node well.
func asIs(*corev1.Node) {}

// silent is what the node controller makes of a node whose kubelet it does not hear of.
func silent(name string) func(*corev1.Node) {
	return func(n *corev1.Node) {
		if n.Name == name {
			n.Status.Conditions[0].Status = corev1.ConditionUnknown
		}
	}
}

// unreachable has SSH to each of the hosts refused at once, by a port of this machine where nobody listens.
func unreachable(t *testing.T, c *v1alpha1.Cluster) *v1alpha1.Cluster {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range c.Spec.Hosts {
		c.Spec.Hosts[i].SSH = &v1alpha1.SSH{Host: "127.0.0.1", Port: int32(l.Addr().(*net.TCPAddr).Port)} //nolint:gosec // a port
	}
	return c
}

// nobody is a caller without any key or configuration.
func nobody(t *testing.T) remote.Login {
	t.Helper()
	return remote.Login{HostKeys: ssh.Strict, Environment: ssh.Environment{Home: t.TempDir(), User: "nobody", Lookup: func(string) (string, bool) { return "", false }}}
}

// stateDir is a cluster's directory on a workstation where it was not made.
func stateDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// asked notes the plans that Confirm gets, and answers.
type asked struct {
	plans  [][]*operate.Plan
	answer error
}

func (a *asked) confirm(_ context.Context, parts []*operate.Plan) error {
	a.plans = append(a.plans, parts)
	return a.answer
}

// untouched fails unless there is no Operation, and the stored document is as it was.
func untouched(t *testing.T, s *kubetest.Server) {
	t.Helper()
	to := connect(t, s)
	if err := to.RefuseOther(t.Context()); err != nil {
		t.Errorf("something was begun: %v", err)
	}
	if got, want := fmt.Sprint(to.Stored.Spec.Hosts), fmt.Sprint(stored().Spec.Hosts); got != want {
		t.Errorf("the stored document has the hosts %s instead of %s", got, want)
	}
}
