package incluster_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/drain"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	nodeupgrade "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// upgradeWorld is a cluster of three control planes and two workers that can be
// upgraded to the version of the real apiserver behind all their addresses.
type upgradeWorld struct {
	*fakeCluster
	s        *kubetest.Server
	ops      *incluster.Operations
	from, to string

	mu sync.Mutex
	// did are the tasks, in their order.
	did []string
	// away are the hosts that have given the virtual IP away.
	away map[string]bool
	// members are etcd's listeners, by host.
	members map[string]net.Listener
	// fail makes a task fail: by "task node".
	fail map[string]bool
	// reboot makes a host reboot in the middle of its next task: by "task node".
	reboot map[string]bool
	// takesBack is what the last task to settle a node was told.
	takesBack bool
}

// lostError is an attempt of which nobody knows how it ended.
type lostError struct{}

func (lostError) Error() string { return "the node went away" }
func (lostError) Lost() bool    { return true }

// listenOn serves connections to an address with handle until the test ends.
func listenOn(t *testing.T, address string, handle func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // Nothing of it is left.
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
	return l
}

// through passes a connection on.
func through(to string) func(net.Conn) {
	return func(in net.Conn) {
		defer in.Close() //nolint:errcheck // a test's
		out, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer out.Close()                       //nolint:errcheck // a test's
		go func() { _, _ = io.Copy(out, in) }() // Ends with either.
		_, _ = io.Copy(in, out)
	}
}

func newUpgradeWorld(t *testing.T) *upgradeWorld {
	s, f := start(t)
	info, err := f.kube.Discovery().ServerVersion()
	f.must(err)
	to := version.MustParseSemantic(info.GitVersion)
	w := &upgradeWorld{fakeCluster: f, s: s, to: info.GitVersion, from: fmt.Sprintf("v1.%d.4", to.Minor()-1), away: map[string]bool{}, members: map[string]net.Listener{}, fail: map[string]bool{}, reboot: map[string]bool{"upgrade-control-plane cp3": true}}
	host := strings.TrimPrefix(s.Config.Host, "https://")
	first := listenOn(t, "127.0.77.11:0", through(host))
	_, port, _ := net.SplitHostPort(first.Addr().String())
	n, err := strconv.Atoi(port)
	f.must(err)
	f.c.Spec.APIServerPort, f.c.Spec.KubernetesVersion = int32(n), w.from
	for i := range f.c.Spec.Hosts {
		h := &f.c.Spec.Hosts[i]
		h.Address = strings.Replace(h.Address, "10.77.0.", "127.0.77.", 1)
	}
	f.c.Spec.VirtualIP = "127.0.77.100"
	for _, own := range []string{"127.0.77.12", "127.0.77.13", f.c.Spec.VirtualIP} {
		listenOn(t, net.JoinHostPort(own, port), through(host))
	}
	f.c.Spec.Hosts = append(f.c.Spec.Hosts, v1alpha1.Host{Name: "w2", Address: "127.0.77.22", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}})
	for _, m := range f.c.EtcdMembers() {
		w.etcd(m)
	}
	w.nodes()
	w.other = w.run
	_, err = incluster.Install(t.Context(), s.Config, f.c)
	f.must(err)
	w.ops, err = incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	f.must(err)
	f.play()
	w.kubelets()
	coordinate(t, s.Config, f)
	return w
}

// etcd answers at a member's address, as far as shaking hands: it wants a client's
// certificate, and one of the members has no TLS 1.3, where it says so at once.
func (w *upgradeWorld) etcd(m v1alpha1.Host) {
	w.Helper()
	ca, err := pki.NewCA("etcd", 365*24*time.Hour)
	w.must(err)
	pair, err := tls.X509KeyPair(ca.CertPEM, ca.KeyPEM)
	w.must(err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	if m.Name == "cp2" {
		config.MaxVersion = tls.VersionTLS12
	}
	w.members[m.Name] = listenOn(w.T, net.JoinHostPort(m.Address, "2379"), func(conn net.Conn) {
		_ = tls.Server(conn, config).Handshake() // Whoever asks sees for himself.
		_ = conn.Close()
	})
}

func (w *upgradeWorld) nodes() {
	w.create()
	ctx := w.Context()
	for _, h := range w.c.Nodes() {
		n, err := w.kube.CoreV1().Nodes().Get(ctx, h.Name, metav1.GetOptions{})
		w.must(err)
		if h.Has(v1alpha1.RoleControlPlane) {
			metav1.SetMetaDataLabel(&n.ObjectMeta, "node-role.kubernetes.io/control-plane", "")
			for _, c := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
				w.pod("kube-system", c+"-"+h.Name, h.Name, map[string]string{"tier": "control-plane", "component": c}, "", "registry.k8s.io/"+c+":"+w.from)
			}
		}
		n, err = w.kube.CoreV1().Nodes().Update(ctx, n, metav1.UpdateOptions{})
		w.must(err)
		n.Status.NodeInfo.KubeletVersion = w.from
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		_, err = w.kube.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{})
		w.must(err)
	}
	w.configured(ctx, w.from)
}

// configured is what kubeadm writes at the end of upgrade apply.
func (w *upgradeWorld) configured(ctx context.Context, v string) {
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"ClusterConfiguration": "controlPlaneEndpoint: " + w.c.Endpoint() + "\nkind: ClusterConfiguration\nkubernetesVersion: " + v + "\n"}})
	w.must(err)
	_, err = w.kube.CoreV1().ConfigMaps("kube-system").Patch(ctx, "kubeadm-config", types.MergePatchType, patch, metav1.PatchOptions{})
	w.must(err)
}

// pod is a Ready one on a node; owner is the kind of its controller, if any.
func (w *upgradeWorld) pod(ns, name, on string, labels map[string]string, owner, image string, volumes ...corev1.Volume) {
	w.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: labels}, Spec: corev1.PodSpec{NodeName: on, Containers: []corev1.Container{{Name: "c", Image: image}}, Volumes: volumes}}
	if labels["tier"] != "" {
		p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	}
	if owner != "" {
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: owner, Name: "owner", UID: "1", Controller: &yes}}
	}
	p, err := w.kube.CoreV1().Pods(ns).Create(w.Context(), p, metav1.CreateOptions{})
	w.must(err)
	p.Status.Phase, p.Status.Conditions = corev1.PodRunning, []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	_, err = w.kube.CoreV1().Pods(ns).UpdateStatus(w.Context(), p, metav1.UpdateOptions{})
	w.must(err)
}

// kubelets end what is told to end.
func (w *upgradeWorld) kubelets() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		zero := int64(0)
		for ctx.Err() == nil {
			list, err := w.kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
			if err == nil {
				for _, p := range list.Items {
					if p.DeletionTimestamp != nil {
						_ = w.kube.CoreV1().Pods("default").Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero}) // The next look tries again.
					}
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
}

// run plays the agents, and is strict about what must be so before each task.
func (w *upgradeWorld) run(ctx context.Context, on string, req node.Request) (node.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what := req.Task + " " + on
	if req.Task == tasks.HoldsVIP {
		return w.holds(on)
	}
	w.did = append(w.did, what)
	if w.fail[what] {
		return node.Result{Failure: &node.Failure{Message: "the disk is full", Hint: "make room"}}, nil
	}
	if w.reboot[what] {
		w.reboot[what], w.away[on] = false, false
		return node.Result{}, lostError{}
	}
	h, _ := w.c.Host(on)
	controlPlane := h.Has(v1alpha1.RoleControlPlane)
	if controlPlane && (req.Task == tasks.UpgradeControlPlane || req.Task == tasks.UpgradeKubelet || req.Task == tasks.RollbackNode) && !w.away[on] {
		return node.Result{}, fmt.Errorf("%s: the virtual IP may be here", what)
	}
	switch req.Task {
	case tasks.UpgradeCheck, tasks.Backup:
		return node.Result{}, nil
	case tasks.Drain:
		var spec vip.DrainSpec
		if err := json.Unmarshal(req.Spec, &spec); err != nil {
			return node.Result{}, err
		}
		w.away[on] = spec.Drain
		return node.Result{}, nil
	case tasks.UpgradeControlPlane:
		var spec nodeupgrade.ControlPlaneSpec
		if err := json.Unmarshal(req.Spec, &spec); err != nil {
			return node.Result{}, err
		}
		if spec.First {
			w.configured(ctx, spec.Version)
		}
		return node.Result{}, w.images(ctx, on, spec.Version)
	case tasks.UpgradeKubelet:
		var spec nodeupgrade.KubeletSpec
		if err := json.Unmarshal(req.Spec, &spec); err != nil {
			return node.Result{}, err
		}
		if err := w.empty(ctx, on, controlPlane); err != nil {
			return node.Result{}, err
		}
		return node.Result{}, w.kubelet(ctx, on, spec.Version)
	case tasks.UpgradeSettle:
		var spec nodeupgrade.SettleSpec
		if err := json.Unmarshal(req.Spec, &spec); err != nil {
			return node.Result{}, err
		}
		if controlPlane != (spec.LocalEndpoint != "") {
			return node.Result{}, fmt.Errorf("%s with the endpoint %q", what, spec.LocalEndpoint)
		}
		if w.takesBack = spec.TakeBack; spec.TakeBack {
			return node.Result{Data: json.RawMessage(`{"takenBack":["kubelet"]}`)}, nil
		}
		return node.Result{Data: json.RawMessage(`{"armed":["kubelet"]}`)}, nil
	case tasks.RollbackNode:
		var spec nodeupgrade.RollbackSpec
		if err := json.Unmarshal(req.Spec, &spec); err != nil {
			return node.Result{}, err
		}
		return node.Result{}, errors.Join(w.images(ctx, on, spec.Version), w.kubelet(ctx, on, spec.Version))
	}
	return node.Result{}, fmt.Errorf("nobody expected the task %q", req.Task)
}

// holds: the first control plane has the virtual IP that has not given it away.
func (w *upgradeWorld) holds(on string) (node.Result, error) {
	for _, h := range w.c.ControlPlanes() {
		if !w.away[h.Name] {
			data, err := json.Marshal(vip.DrainData{Held: h.Name == on})
			return node.Result{Data: data}, err
		}
	}
	return node.Result{}, errors.New("every control plane has given the virtual IP away")
}

func (w *upgradeWorld) images(ctx context.Context, on, v string) error {
	for _, c := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		patch := fmt.Sprintf(`{"spec":{"containers":[{"name":"c","image":"registry.k8s.io/%s:%s"}]}}`, c, v)
		if _, err := w.kube.CoreV1().Pods("kube-system").Patch(ctx, c+"-"+on, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func (w *upgradeWorld) kubelet(ctx context.Context, on, v string) error {
	patch := fmt.Sprintf(`{"status":{"nodeInfo":{"kubeletVersion":%q}}}`, v)
	_, err := w.kube.CoreV1().Nodes().Patch(ctx, on, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	return err
}

// empty tells whether a worker takes no pods and has none that should have left.
func (w *upgradeWorld) empty(ctx context.Context, on string, controlPlane bool) error {
	if controlPlane {
		return nil
	}
	n, err := w.kube.CoreV1().Nodes().Get(ctx, on, metav1.GetOptions{})
	if err != nil || !n.Spec.Unschedulable {
		return fmt.Errorf("%s is upgraded and takes pods, %w", on, err)
	}
	list, err := w.kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + on})
	if err != nil {
		return err
	}
	for _, p := range list.Items {
		if p.Labels["app"] == "web" {
			return fmt.Errorf("%s is upgraded with pod %s on it", on, p.Name)
		}
	}
	return nil
}

func (w *upgradeWorld) setBudget(allowed int32) {
	w.Helper()
	one := intstr.FromInt32(1)
	b, err := w.kube.PolicyV1().PodDisruptionBudgets("default").Get(w.Context(), "web", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		b, err = w.kube.PolicyV1().PodDisruptionBudgets("default").Create(w.Context(), &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Name: "web"},
			Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		}, metav1.CreateOptions{})
	}
	w.must(err)
	b.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation, DisruptionsAllowed: allowed, CurrentHealthy: 1, DesiredHealthy: 1, ExpectedPods: 1}
	_, err = w.kube.PolicyV1().PodDisruptionBudgets("default").UpdateStatus(w.Context(), b, metav1.UpdateOptions{})
	w.must(err)
}

// ends waits for an Operation's end.
func (w *upgradeWorld) ends(name string) error {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), deadline)
	defer cancel()
	err := w.ops.Watch(ctx, name, report.SinkFunc(func(report.Event) {}))
	if ctx.Err() != nil {
		w.Fatal(err)
	}
	return err
}

func (w *upgradeWorld) cordoned() string {
	w.Helper()
	list, err := w.kube.CoreV1().Nodes().List(w.Context(), metav1.ListOptions{})
	w.must(err)
	var out []string
	for _, n := range list.Items {
		if n.Spec.Unschedulable {
			out = append(out, n.Name+"("+n.Annotations[drain.AnnotationCordonedBy]+")")
		}
	}
	return strings.Join(out, " ")
}

func (w *upgradeWorld) takeDid() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	did := w.did
	w.did = nil
	return did
}

func (w *upgradeWorld) setFail(what string, fails bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail[what] = fails
}

func (w *upgradeWorld) anyAway() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains([]bool{w.away["cp1"], w.away["cp2"], w.away["cp3"]}, true)
}

// TestUpgrade carries an Upgrade through three failures and a reboot to its end.
func TestUpgrade(t *testing.T) {
	w := newUpgradeWorld(t)
	// Somebody has cordoned w2, a budget holds the pod on w1, and cp2 has a full disk.
	_, err := w.kube.CoreV1().Nodes().Patch(t.Context(), "w2", types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
	w.must(err)
	w.pod("default", "web-1", "w1", map[string]string{"app": "web"}, "ReplicaSet", "web")
	w.daemonSet("owner")
	w.pod("default", "daemon", "w1", nil, "DaemonSet", "daemon")
	w.setBudget(0)
	w.setFail("upgrade-control-plane cp2", true)
	w.observes()
	_ = w.members["cp3"].Close() // It is of no use any more, whatever that says.

	op, err := w.ops.Create(t.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &v1alpha1.UpgradeSpec{Version: w.to, DrainTimeout: "3s", Ignore: []string{upgrade.CheckEvictions}}})
	w.must(err)
	if err := w.ends(op.Name); err == nil || !strings.Contains(err.Error(), "cp3: the etcd member") || len(w.takeDid()) > 0 {
		t.Fatalf("with an etcd member down it ended with %v", err)
	}
	cp3, _ := w.c.Host("cp3")
	w.etcd(cp3)
	w.must(w.ops.Resume(t.Context(), op.Name))
	if err := w.ends(op.Name); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Fatalf("it ended with %v", err)
	}
	did := w.takeDid()
	if got, want := did[len(did)-9:], []string{"drain cp1", "upgrade-control-plane cp1", "upgrade-kubelet cp1", "drain cp1", "drain cp2", "upgrade-control-plane cp2", "upgrade-settle cp2", "drain cp2"}; !slices.Equal(got[1:], want) {
		t.Errorf("up to the failure there were %v", did)
	}
	if w.anyAway() || w.cordoned() != "w2()" {
		t.Errorf("the failure left %v, cordoned %s", w.away, w.cordoned())
	}

	w.setFail("upgrade-control-plane cp2", false)
	w.must(w.ops.Resume(t.Context(), op.Name))
	err = w.ends(op.Name)
	if err == nil || !strings.Contains(err.Error(), "default/web-1") || !strings.Contains(err.Error(), "disruption budget web") {
		t.Fatalf("it ended with %v", err)
	}
	// Begun anew after its failure cp2 has the address moved away once more, and so has
	// cp3 after its reboot.
	want := []string{"drain cp2", "drain cp2", "upgrade-control-plane cp2", "upgrade-kubelet cp2", "drain cp2",
		"drain cp3", "upgrade-control-plane cp3", "drain cp3", "upgrade-control-plane cp3", "upgrade-kubelet cp3", "drain cp3"}
	if got := w.takeDid(); !slices.Equal(got, want) {
		t.Errorf("resumed, there were %v, want %v", got, want)
	}
	if w.cordoned() != "w2()" {
		t.Errorf("the drain that failed left %s cordoned", w.cordoned())
	}

	w.setBudget(1)
	w.must(w.ops.Resume(t.Context(), op.Name))
	w.must(w.ends(op.Name))
	if got, want := w.takeDid(), []string{"upgrade-kubelet w1", "upgrade-kubelet w2"}; !slices.Equal(got, want) {
		t.Errorf("in the end there were %v, want %v", got, want)
	}
	w.upgraded(op.Name)
	w.again()
	w.looksInside()
	w.applied()
	w.givenUp()
	w.failsInPart()
	w.back()
}

// failsInPart: of two workers one may fail. The other one goes on, and the Operation has failed all the
// same; resumed, it does what is left.
func (w *upgradeWorld) failsInPart() {
	w.Helper()
	ctx := w.Context()
	w.must(w.kubelet(ctx, "w1", w.from))
	w.must(w.kubelet(ctx, "w2", w.from))
	w.setFail("upgrade-kubelet w1", true)
	op, err := w.ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &v1alpha1.UpgradeSpec{Version: w.to, Only: v1alpha1.UpgradeNodes, MaxUnavailable: "2", MaxFailures: "1", By: "zone",
		ForceDrain: true, DrainTimeout: "1s", Ignore: []string{upgrade.CheckEvictions}}})
	w.must(err)
	if err := w.ends(op.Name); err == nil || !strings.Contains(err.Error(), "kubelet/w1: w1: the disk is full") {
		w.Errorf("it ended with %v", err)
	}
	did := w.takeDid()
	if !slices.Contains(did, "upgrade-kubelet w1") || !slices.Contains(did, "upgrade-kubelet w2") || did[len(did)-1] != "upgrade-settle w1" {
		w.Errorf("it did %v", did)
	}
	got, err := w.ops.Get(ctx, op.Name)
	w.must(err)
	i := slices.IndexFunc(got.Status.Steps, func(s v1alpha1.StepStatus) bool { return s.ID == "report" })
	if got.Status.Phase != v1alpha1.OperationFailed || !strings.HasPrefix(got.Status.Message, "1 node has failed, of 2: w1; kubelet/w1: ") || i < 0 || !strings.HasPrefix(got.Status.Steps[i].Message, "failed: w1 (kubelet); ") {
		w.Errorf("%s (%s), %+v", got.Status.Phase, got.Status.Message, got.Status.Steps)
	}
	if want := "w1(" + op.Name + ") w2()"; w.cordoned() != want {
		w.Errorf("left is %s cordoned, want %s", w.cordoned(), want)
	}
	w.setFail("upgrade-kubelet w1", false)
	w.must(w.ops.Resume(ctx, op.Name))
	w.must(w.ends(op.Name))
	if got := w.takeDid(); !slices.Equal(got, []string{"upgrade-kubelet w1"}) {
		w.Errorf("resumed, it did %v", got)
	}
	if w.cordoned() != "w2()" {
		w.Errorf("in the end is %s cordoned", w.cordoned())
	}
}

// givenUp: a kubelet whose upgrade failed waits for who goes on; when the failed Operation is
// aborted its host comes to rest, so that no boot takes it back months later.
func (w *upgradeWorld) givenUp() {
	w.Helper()
	ctx := w.Context()
	w.must(w.kubelet(ctx, "w1", w.from))
	w.setFail("upgrade-kubelet w1", true)
	defer w.setFail("upgrade-kubelet w1", false)
	op, err := w.ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &v1alpha1.UpgradeSpec{Version: w.to, Only: v1alpha1.UpgradeNodes, ForceDrain: true, DrainTimeout: "1s", Ignore: []string{upgrade.CheckEvictions}}})
	w.must(err)
	if err := w.ends(op.Name); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		w.Errorf("it ended with %v", err)
	}
	if got := w.takeDid(); !slices.Equal(got, []string{"upgrade-check w1", "upgrade-kubelet w1", "upgrade-settle w1"}) || w.takesBack {
		w.Errorf("failed, it did %v, took back %v", got, w.takesBack)
	}
	w.must(w.ops.Abort(ctx, op.Name))
	_ = w.ends(op.Name) // Aborted, which is what it says.
	if got := w.takeDid(); !slices.Equal(got, []string{"upgrade-settle w1"}) || !w.takesBack {
		w.Errorf("aborted, it did %v, took back %v", got, w.takesBack)
	}
	got, err := w.ops.Get(ctx, op.Name)
	w.must(err)
	i := slices.IndexFunc(got.Status.Steps, func(s v1alpha1.StepStatus) bool { return s.ID == "settle" })
	if got.Status.Phase != v1alpha1.OperationAborted || i < 0 || got.Status.Steps[i].Message != "w1: kubelet is what it was before" {
		w.Errorf("%s, %+v", got.Status.Phase, got.Status.Steps)
	}
	w.must(w.kubelet(ctx, "w1", w.to))
}

// observes looks as the workstation does.
func (w *upgradeWorld) observes() {
	w.Helper()
	clients, err := client.New(w.s.Config)
	w.must(err)
	spec := &v1alpha1.UpgradeSpec{Version: w.to}
	o, err := upgrade.Observe(w.Context(), clients, w.c, upgrade.Look{Evictions: spec, Metrics: true, Inside: true})
	w.must(err)
	var blocking []string
	for _, f := range upgrade.Blocking(upgrade.Check(w.c, spec, o, time.Now())) {
		blocking = append(blocking, f.String())
	}
	if got := strings.Join(blocking, "; "); len(blocking) != 1 || !strings.Contains(got, "w1: pod default/web-1 can't be evicted: The disruption budget web") {
		w.Errorf("in the way is %q", got)
	}
	if o.Configured != w.from || len(o.APIServers) != 3 || o.APIServers[1].NotAfter.IsZero() || o.Etcd[0].NotAfter.IsZero() {
		w.Errorf("seen was %+v", o)
	}
	if _, err := w.kube.CoreV1().Pods("default").Get(w.Context(), "web-1", metav1.GetOptions{}); err != nil {
		w.Errorf("the look has evicted the pod: %v", err)
	}
}

func (w *upgradeWorld) upgraded(name string) {
	w.Helper()
	if w.cordoned() != "w2()" || w.anyAway() {
		w.Errorf("left are %s cordoned, %v", w.cordoned(), w.away)
	}
	stored, err := incluster.StoredCluster(w.Context(), w.kube)
	w.must(err)
	if stored.Spec.KubernetesVersion != w.to {
		w.Errorf("the stored document says %s", stored.Spec.KubernetesVersion)
	}
	if _, err := w.kube.CoreV1().Pods("default").Get(w.Context(), "daemon", metav1.GetOptions{}); err != nil {
		w.Errorf("the daemon set's pod: %v", err)
	}
	for _, n := range []string{"cp1", "w2"} {
		one, err := w.kube.CoreV1().Nodes().Get(w.Context(), n, metav1.GetOptions{})
		w.must(err)
		if one.Annotations[upgrade.AnnotationPrevious] != w.from {
			w.Errorf("%s says it comes from %q", n, one.Annotations[upgrade.AnnotationPrevious])
		}
	}
	op, err := w.ops.Get(w.Context(), name)
	w.must(err)
	for _, s := range op.Status.Steps {
		var asked, answered int
		if _, count, ok := strings.Cut(s.Message, "the API answered "); s.ID == "apply/cp1" && !ok || ok {
			if _, err := fmt.Sscanf(count, "%d of %d times", &answered, &asked); err != nil || answered != asked {
				w.Errorf("%s says %q, %v", s.ID, s.Message, err)
			}
		}
		if s.ID == "drain/w1" && s.Message != "1 pod has left" || s.ID == "report" && !strings.HasPrefix(s.Message, "cp1 ") {
			w.Errorf("%s says %q", s.ID, s.Message)
		}
	}
}

// again upgrades what is upgraded.
func (w *upgradeWorld) again() {
	w.Helper()
	op, err := w.ops.Create(w.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &v1alpha1.UpgradeSpec{Version: w.to}})
	w.must(err)
	w.must(w.ends(op.Name))
	if did := w.takeDid(); len(did) > 0 {
		w.Errorf("a second time there were %v", did)
	}
	down, err := w.ops.Create(w.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &v1alpha1.UpgradeSpec{Version: w.from}})
	w.must(err)
	if err := w.ends(down.Name); err == nil || !strings.Contains(err.Error(), "is older than") || len(w.takeDid()) > 0 {
		w.Errorf("down ended with %v", err)
	}
}

// looksInside: what a workstation would have found is found of an Upgrade that nobody
// was asked about, with the coordinator's own rights, and is passed over when its spec
// says so. Nothing is done before.
func (w *upgradeWorld) looksInside() {
	w.Helper()
	ctx := w.Context()
	w.must(w.kubelet(ctx, "w1", w.from))
	w.pod("default", "web-9", "w1", map[string]string{"app": "web"}, "ReplicaSet", "web")
	w.scratch("web-8", "w1")
	w.setBudget(0)
	spec := v1alpha1.UpgradeSpec{Version: w.to, Only: v1alpha1.UpgradeNodes, DeleteEmptyDirData: new(bool)}
	for _, want := range []string{"w1: pod default/web-9 can't be evicted: The disruption budget web", "w1: 1 pod loses the data in emptyDir volumes: default/web-8"} {
		op, err := w.ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: copyOf(spec)})
		w.must(err)
		if err := w.ends(op.Name); err == nil || !strings.Contains(err.Error(), "the upgrade is not begun: ") || !strings.Contains(err.Error(), want) || len(w.takeDid()) > 0 {
			w.Errorf("inside it ended with %v, want %q", err, want)
		}
		w.must(w.ops.Abort(ctx, op.Name))
		_ = w.ends(op.Name) // Aborted, which is what it says.
		spec.Ignore = []string{upgrade.CheckEvictions}
	}
	w.setBudget(2)
	spec.DeleteEmptyDirData = nil
	op, err := w.ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: copyOf(spec)})
	w.must(err)
	w.must(w.ends(op.Name))
	op, err = w.ops.Get(ctx, op.Name)
	w.must(err)
	if yes := op.Spec.Upgrade.DeleteEmptyDirData; yes == nil || !*yes {
		w.Errorf("the default is %v", yes)
	}
	if s := op.Status.Steps[0]; s.ID != "preflight" || !strings.Contains(s.Message, "w1: 1 pod loses the data in emptyDir volumes: default/web-8") {
		w.Errorf("preflight says %q", s.Message)
	}
	w.takeDid()
}

// copyOf is a copy of which nothing is shared.
func copyOf(in v1alpha1.UpgradeSpec) *v1alpha1.UpgradeSpec {
	out := &v1alpha1.UpgradeSpec{}
	in.DeepCopyInto(out)
	return out
}

// scratch is a pod with data in an emptyDir volume.
func (w *upgradeWorld) scratch(name, on string) {
	w.Helper()
	w.pod("default", name, on, map[string]string{"app": "scratch"}, "ReplicaSet", "scratch", corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
}

// daemonSet is the one that the pods say they are of.
func (w *upgradeWorld) daemonSet(name string) {
	w.Helper()
	labels := map[string]string{"app": name}
	_, err := w.kube.AppsV1().DaemonSets("default").Create(w.Context(), &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "daemon"}}}},
	}}, metav1.CreateOptions{})
	w.must(err)
}

// applied applies an Upgrade's manifests while another Operation, which nobody carries out, is
// in progress: it waits for its turn, and takes it.
func (w *upgradeWorld) applied() {
	w.Helper()
	ctx := w.Context()
	clients, err := client.New(w.s.Config)
	w.must(err)
	all := operations.New(clients.Dynamic)
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &v1alpha1.UpgradeSpec{Version: w.to}}
	_, err = all.Create(ctx, &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "a-first"}, Spec: spec})
	w.must(err)
	w.must(all.Claim(ctx, clients.Kube, "a-first"))
	objects, err := w.ops.Manifests(ctx, spec, w.to)
	w.must(err)
	// Who applies it need not know the agent.
	if got := objects[0].GetAnnotations()[v1alpha1.AnnotationAgents]; got != `[{"image":"agent:1"}]` {
		w.Errorf("the manifest's agents are %s", got)
	}
	if _, err := apply.Apply(ctx, clients, objects, apply.Options{}); err != nil {
		w.Fatal(err)
	}
	name := "upgrade-" + strings.ReplaceAll(w.to, ".", "-")
	var last v1alpha1.OperationStatus
	if !poll.Until(time.Minute, func() bool {
		if op, err := all.Get(ctx, name); err == nil {
			last = op.Status
		}
		return strings.Contains(last.Message, "waits for its turn: operation a-first (Upgrade)")
	}) || last.Phase != v1alpha1.OperationPending {
		w.Fatalf("it does not wait for its turn: %s: %s", last.Phase, last.Message)
	}
	if did := w.takeDid(); len(did) > 0 {
		w.Errorf("beside another one it did %v", did)
	}
	w.must(all.Delete(ctx, "a-first"))
	w.must(w.ends(name))
}

// back rolls cp2 back from a patch that came after, and ends an upgrade in a drain.
func (w *upgradeWorld) back() {
	w.Helper()
	ctx := w.Context()
	v := version.MustParseSemantic(w.to)
	later := fmt.Sprintf("v1.%d.%d", v.Minor(), v.Patch()+1)
	w.must(errors.Join(w.images(ctx, "cp2", later), w.kubelet(ctx, "cp2", later)))
	w.configured(ctx, later)
	op, err := w.ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationRollbackNode, RollbackNode: &v1alpha1.RollbackNodeSpec{Node: "cp2", Version: w.to}})
	w.must(err)
	w.must(w.ends(op.Name))
	if got, want := w.takeDid(), []string{"drain cp2", "rollback-node cp2", "drain cp2"}; !slices.Equal(got, want) || w.anyAway() {
		w.Errorf("a rollback did %v, left %v", got, w.away)
	}
	if m, err := w.kube.CoreV1().ConfigMaps("kube-system").Get(ctx, "kubeadm-config", metav1.GetOptions{}); err != nil || !strings.Contains(m.Data["ClusterConfiguration"], "kubernetesVersion: "+w.to+"\n") {
		w.Errorf("kubeadm's configuration after the rollback: %v %v", m.Data, err)
	}

	w.must(w.kubelet(ctx, "w1", w.from))
	w.pod("default", "web-2", "w1", map[string]string{"app": "web"}, "ReplicaSet", "web")
	w.setBudget(0)
	if op, err = w.ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &v1alpha1.UpgradeSpec{Version: w.to, Only: v1alpha1.UpgradeNodes, Ignore: []string{upgrade.CheckEvictions}}}); err != nil {
		w.Fatal(err)
	}
	j := &jobs{T: w.T}
	j.until("the drain is held up", func() (bool, any) {
		op, err := w.ops.Get(ctx, op.Name)
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(op.Status.Steps, func(s v1alpha1.StepStatus) bool { return s.ID == "drain/w1" })
		return i >= 0 && strings.Contains(op.Status.Steps[i].Message, "stays: "), op.Status
	})
	if got := w.cordoned(); got != "w1("+op.Name+") w2()" {
		w.Errorf("in a drain %s are cordoned", got)
	}
	w.must(w.ops.Abort(ctx, op.Name))
	if err := w.ends(op.Name); err == nil || w.cordoned() != "w2()" || slices.Contains(w.takeDid(), "upgrade-kubelet w1") {
		w.Errorf("aborted, it ended with %v, cordoned is %s", err, w.cordoned())
	}
	w.pod("default", "lonely", "w1", map[string]string{"app": "web"}, "", "web")
	op, err = w.ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade,
		Upgrade: &v1alpha1.UpgradeSpec{Version: w.to, Only: v1alpha1.UpgradeNodes, ForceDrain: true, DrainTimeout: "1s"}})
	w.must(err)
	w.must(w.ends(op.Name))
	if got, want := w.takeDid(), []string{"upgrade-check w1", "upgrade-kubelet w1"}; !slices.Equal(got, want) || w.cordoned() != "w2()" {
		w.Errorf("by force there were %v, cordoned is %s", got, w.cordoned())
	}
}
