package incluster_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	task "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// pushes stand for the nodes of an Images Operation; a request that is not one
// for that fails.
type pushes struct {
	*testing.T
	mu    sync.Mutex
	specs map[string]task.Spec
	// both is closed when two nodes have their requests.
	both chan struct{}
}

func (p *pushes) runner(j engine.Job) transport.Runner { return &pushRunner{pushes: p, job: j} }

type pushRunner struct {
	*pushes
	job engine.Job
}

// Run ends once the other node has its request too, as real peers wait for each other.
func (r *pushRunner) Run(ctx context.Context, host string, req node.Request, _ report.Sink) (node.Result, error) {
	var spec task.Spec
	if err := json.Unmarshal(req.Spec, &spec); err != nil || req.Task != tasks.PushImages || r.job.LostAfter == 0 {
		r.Errorf("%s: unexpected request %s: %v", host, req.Task, err)
	}
	r.mu.Lock()
	r.specs[host] = spec
	if len(r.specs) == 2 {
		close(r.both)
	}
	r.mu.Unlock()
	select {
	case <-ctx.Done():
		return node.Result{}, ctx.Err()
	case <-r.both:
	}
	data, err := json.Marshal(task.Data{Images: 3, Imported: 2, FromPeers: 5e6})
	return node.Result{Data: data}, err
}

// createNodes makes the document's nodes; w1 is one that nobody hears of.
func createNodes(f *fakeCluster) {
	f.Helper()
	for _, h := range f.c.Nodes() {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: h.Name, Labels: map[string]string{}}}
		if strings.HasPrefix(h.Name, "cp") {
			n.Labels["node-role.kubernetes.io/control-plane"] = ""
		}
		n, err := f.kube.CoreV1().Nodes().Create(f.Context(), n, metav1.CreateOptions{})
		f.must(err)
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: h.Address}}
		n.Status.NodeInfo.ContainerRuntimeVersion = "containerd://2.4.2"
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		if h.Name == "w1" {
			n.Status.Conditions[0].Status = corev1.ConditionUnknown
		}
		_, err = f.kube.CoreV1().Nodes().UpdateStatus(f.Context(), n, metav1.UpdateOptions{})
		f.must(err)
	}
}

// carryOutWith carries one Operation out to its end, and tells it and its steps'
// states with their messages.
func carryOutWith(t *testing.T, clients *client.Clients, ops *incluster.Operations, name string, c *v1alpha1.Cluster, runner func(engine.Job) transport.Runner, def engine.Definition) (*v1alpha1.Operation, map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	op, err := ops.Get(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Coordinate(ctx, engine.Config{
		Clients: clients, Operation: name, Identity: "test", Cluster: c, Runner: runner,
		Definitions: map[v1alpha1.OperationType]engine.Definition{op.Spec.Type: def},
		Sink:        report.SinkFunc(func(e report.Event) { t.Log(e.Kind, e.Step, e.Message, e.Error) }),
	}); err != nil {
		t.Fatal(err)
	}
	if op, err = ops.Get(ctx, name); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, st := range op.Status.Steps {
		states[st.ID] = string(st.State) + " " + st.Message
	}
	return op, states
}

// TestImagesOperation: with the coordinator's own rights, two nodes get their
// requests, a third that is not there fails by itself and is named, and the
// credentials are there as long as they are needed.
func TestImagesOperation(t *testing.T) {
	s, f := start(t)
	if _, err := incluster.Install(t.Context(), s.Config, f.c); err != nil {
		t.Fatal(err)
	}
	createNodes(f)
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	f.must(err)
	spec := &v1alpha1.ImagesSpec{
		Parcel: v1alpha1.Content{Digest: "sha256:" + strings.Repeat("a", 64), Size: 10},
		Images: []v1alpha1.PushedImage{{Ref: "example.com/a:1", Digest: "sha256:" + strings.Repeat("b", 64), Size: 5, For: []v1alpha1.Role{v1alpha1.RoleWorker}}},
		Nodes:  []string{"cp1", "cp2", "w1"}, MaxRate: 7,
	}
	op, err := ops.Create(t.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationImages, Images: spec})
	f.must(err)
	p := &pushes{T: t, specs: map[string]task.Spec{}, both: make(chan struct{})}
	op, states := carryOutWith(t, asCoordinator(t, s.Config), ops, op.Name, f.c, p.runner, images.Definition())
	for step, want := range map[string]string{
		"credentials": "Succeeded", "images/cp1": "Succeeded 2 of 3 images were missing", "images/cp2": "Succeeded",
		"images/w1": "Failed w1 gets no images: it is not ready", "clean-up": "Succeeded",
	} {
		if !strings.HasPrefix(states[step], want) {
			t.Errorf("%s: %s, want %s", step, states[step], want)
		}
	}
	if op.Status.Phase != v1alpha1.OperationFailed || !strings.Contains(op.Status.Message, "images/w1") {
		t.Errorf("the operation is %s: %s", op.Status.Phase, op.Status.Message)
	}
	checkPushes(t, p, op)
	if _, err := images.Credentials(t.Context(), f.kube, op.Name); err == nil {
		t.Error("the credentials are still there")
	}
	_, err = f.kube.CoreV1().Secrets("ha-system").Get(t.Context(), op.Name+"-peers", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the secret: %v", err)
	}
}

func checkPushes(t *testing.T, p *pushes, op *v1alpha1.Operation) {
	t.Helper()
	one, two := p.specs["cp1"], p.specs["cp2"]
	if one.Self != "10.77.0.11:10271" || !slices.Equal(one.Peers, []string{"10.77.0.11:10271", "10.77.0.12:10271"}) || one.Names["10.77.0.12:10271"] != "cp2" {
		t.Errorf("cp1's peers are %+v", one)
	}
	if !slices.Contains(one.Roles, v1alpha1.RoleControlPlane) || one.MaxRate != 7 || string(one.Parcel.Digest) != op.Spec.Images.Parcel.Digest {
		t.Errorf("cp1's request is %+v", one)
	}
	if len(one.Credentials.Key) == 0 || string(one.Credentials.Key) != string(two.Credentials.Key) {
		t.Error("the two have no credentials in common")
	}
	text, err := json.Marshal(op)
	if err != nil || strings.Contains(string(text), "PRIVATE KEY") {
		t.Errorf("a secret is in the operation: %s, %v", text, err)
	}
}

// prunes stand for the nodes of a PruneImages Operation; a request that is not
// one for that fails.
type prunes struct {
	*testing.T
	mu    sync.Mutex
	specs map[string]task.PruneSpec
}

func (p *prunes) runner(engine.Job) transport.Runner { return p }

func (p *prunes) Run(_ context.Context, host string, req node.Request, _ report.Sink) (node.Result, error) {
	var spec task.PruneSpec
	if err := json.Unmarshal(req.Spec, &spec); err != nil || req.Task != tasks.PruneImages {
		p.Errorf("%s: unexpected request %s: %v", host, req.Task, err)
	}
	p.mu.Lock()
	p.specs[host] = spec
	p.mu.Unlock()
	out := task.PruneData{}
	for _, ref := range spec.Refs {
		out.Removals = append(out.Removals, ctrd.Removal{Ref: ref, Removed: true})
	}
	for _, ref := range spec.Used {
		out.Removals = append(out.Removals, ctrd.Removal{Ref: ref, Kept: "a pod needs it by now"})
	}
	data, err := json.Marshal(out)
	return node.Result{Data: data}, err
}

// TestPruneImagesOperation: with the coordinator's own rights, and a choice that
// has become wrong: what a pod needs by now, although it runs nowhere yet, stays.
func TestPruneImagesOperation(t *testing.T) {
	s, f := start(t)
	if _, err := incluster.Install(t.Context(), s.Config, f.c); err != nil {
		t.Fatal(err)
	}
	createNodes(f)
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	f.must(err)
	const old, late = "example.com/old:1", "example.com/late:1"
	op, err := ops.Create(t.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationPruneImages, PruneImages: &v1alpha1.PruneImagesSpec{
		Nodes: []v1alpha1.NodeImages{{Name: "cp1", Refs: []string{late, old}}, {Name: "cp2", Refs: []string{old}}, {Name: "w1", Refs: []string{old}}}}})
	f.must(err)
	no := false
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "late", Namespace: "ha-system"}, Spec: corev1.PodSpec{
		AutomountServiceAccountToken: &no, ServiceAccountName: "ha-coordinator", Containers: []corev1.Container{{Name: "c", Image: late}}}}
	_, err = f.kube.CoreV1().Pods("ha-system").Create(t.Context(), pod, metav1.CreateOptions{})
	f.must(err)
	p := &prunes{T: t, specs: map[string]task.PruneSpec{}}
	op, states := carryOutWith(t, asCoordinator(t, s.Config), ops, op.Name, f.c, p.runner, images.PruneDefinition())
	for step, want := range map[string]string{
		"prune/cp1": "Succeeded 1 of 2 removed; kept example.com/late:1: a pod needs it by now",
		"prune/cp2": "Succeeded 1 of 1 removed", "prune/w1": "Failed w1 gets no images: it is not ready",
	} {
		if !strings.HasPrefix(states[step], want) {
			t.Errorf("%s: %s, want %s", step, states[step], want)
		}
	}
	if op.Status.Phase != v1alpha1.OperationFailed || !strings.Contains(op.Status.Message, "prune/w1") {
		t.Errorf("the operation is %s: %s", op.Status.Phase, op.Status.Message)
	}
	if got := p.specs["cp1"]; !slices.Equal(got.Refs, []string{old}) || !slices.Equal(got.Used, []string{late}) {
		t.Errorf("cp1's request is %+v", got)
	}
	if _, asked := p.specs["w1"]; asked || len(p.specs) != 2 {
		t.Errorf("requests are %+v", p.specs)
	}
}
