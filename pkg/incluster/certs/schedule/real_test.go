package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// nodes play what tasks find on them.
type nodes struct {
	t     *testing.T
	mu    sync.Mutex
	found map[string]certs.LookData
	away  map[string]string
}

func (n *nodes) Run(_ context.Context, host string, req node.Request, _ report.Sink) (node.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if req.Task != tasks.CertificateMetrics {
		n.t.Errorf("the task %s on %s", req.Task, host)
	}
	if why := n.away[host]; why != "" {
		return node.Result{}, errors.New(why)
	}
	raw, err := json.Marshal(n.found[host])
	return node.Result{Data: raw}, err
}

// world is a real API server with this program's part, seen with the coordinator's rights.
type world struct {
	*testing.T
	run   *run
	nodes *nodes
	admin *client.Clients
	log   []string
	// end is how the next Operation ends; done are those that were carried out.
	end  v1alpha1.OperationPhase
	done []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s := kubetest.Start(t)
	c := document(t)
	if _, err := incluster.Install(t.Context(), s.Config, c); err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := client.New(kubetest.AsServiceAccount(s.Config, v1alpha1.SystemNamespace, "ha-coordinator"))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range c.Nodes() {
		n, err := admin.Kube.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: h.Name}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		if _, err := admin.Kube.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{T: t, admin: admin, nodes: &nodes{t: t, found: map[string]certs.LookData{}, away: map[string]string{}}, end: v1alpha1.OperationSucceeded}
	w.run = &run{
		Run: &schedule.Run{Kind: Renewal(), Clients: mine, Cluster: c, Ops: operations.New(mine.Dynamic), Via: w.nodes, Quiet: 2 * time.Second, Interval: 100 * time.Millisecond, Coordinate: w.coordinate,
			Options: schedule.Options{Agents: agents("a", "amd64"), Identity: "certificate-renewal-1-x", Sink: report.SinkFunc(func(e report.Event) { w.log = append(w.log, e.Message) })}},
		elsewhere: func(context.Context, []v1alpha1.Host) ([]certs.Elsewhere, map[string]string) {
			return nil, map[string]string{}
		}}
	// An API server takes a moment to go by a new policy.
	if !poll.Until(time.Minute, func() bool {
		err = w.create(func(op *v1alpha1.Operation) { op.Annotations = nil })
		return err != nil && strings.Contains(err.Error(), "ha-coordinator")
	}) {
		t.Fatalf("the policy is not in force: %v", err)
	}
	return w
}

// coordinate plays the coordinator that a run is.
func (w *world) coordinate(ctx context.Context, name string) error {
	if err := w.run.Ops.Claim(ctx, w.run.Clients.Kube, name); err != nil {
		return err
	}
	w.done = append(w.done, name)
	_, err := w.run.Ops.ModifyStatus(ctx, name, func(op *v1alpha1.Operation) error {
		op.Status.Phase, op.Status.Message = w.end, "as the test wants it"
		return nil
	})
	return err
}

// create tries what a run creates, changed.
func (w *world) create(change func(*v1alpha1.Operation)) error {
	op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "tried-" + fmt.Sprint(time.Now().UnixNano())}, Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationRenewCertificates,
		RenewCertificates: &v1alpha1.RenewCertificatesSpec{Nodes: []v1alpha1.NodeCertificates{{Name: "cp1", Local: []string{certs.APIServer}}}}}}
	if err := op.SetAgents(w.run.Agents); err != nil {
		w.Fatal(err)
	}
	change(op)
	_, err := w.run.Ops.Create(w.Context(), op)
	if err == nil { // It is in the way of others.
		err = errors.Join(err, operations.New(w.admin.Dynamic).Delete(w.Context(), op.Name))
	}
	return err
}

func (w *world) operations() []v1alpha1.Operation {
	w.Helper()
	all, err := w.run.Ops.List(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// TestRun: with the coordinator's own rights a run creates one Operation for what is due, goes on
// with its own that were not finished, or have failed, and waits for others'.
func TestRun(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for _, h := range []string{"cp1", "cp2", "cp3"} {
		w.nodes.found[h] = certs.LookData{Time: time.Now(), Certificates: []certs.Certificate{lived(certs.APIServer, certs.OwnerHost, 0.6)}}
	}
	if err := w.run.do(ctx); err != nil || len(w.operations()) != 0 {
		t.Fatalf("nothing is due: %v", err)
	}
	w.nodes.found["cp2"] = certs.LookData{Time: time.Now(), Certificates: []certs.Certificate{lived(certs.APIServer, certs.OwnerHost, 0.7)}}
	w.end = v1alpha1.OperationFailed
	for range 2 { // The second day goes on with the first one's.
		if err := w.run.do(ctx); err == nil || !strings.Contains(err.Error(), "as the test wants it") {
			t.Fatalf("a failed Operation: %v", err)
		}
	}
	all := w.operations()
	if len(all) != 1 || len(w.done) != 2 || w.done[0] != w.done[1] || !Renewal().Mine(all[0]) {
		t.Fatalf("%d operations, carried out %v", len(all), w.done)
	}
	if got, err := all[0].Agents(); err != nil || got.Image() != w.run.Agents.Image() {
		t.Errorf("its agents are %v %v", got, err)
	}
	w.end = v1alpha1.OperationSucceeded
	if err := w.run.do(ctx); err != nil || len(w.operations()) != 1 {
		t.Fatalf("tried again: %v", err)
	}

	// Another one's is waited for, and named when it does not end.
	other, err := operations.New(w.admin.Dynamic).Create(ctx, &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "pruneimages-x"}, Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationPruneImages, PruneImages: &v1alpha1.PruneImagesSpec{Nodes: []v1alpha1.NodeImages{{Name: "w1", Refs: []string{"example.com/a:1"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run.do(ctx); err == nil || !strings.Contains(err.Error(), "cp2 (apiserver) are due, and wait") || !strings.Contains(err.Error(), other.Name) || strings.Contains(err.Error(), "\n") {
		t.Errorf("while another one is unfinished: %v", err)
	}
	if len(w.operations()) != 2 {
		t.Errorf("%d operations", len(w.operations()))
	}
	if err := operations.New(w.admin.Dynamic).Delete(ctx, other.Name); err != nil {
		t.Fatal(err)
	}

	// A run that was killed has left its own unfinished.
	left := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "renewcertificates-scheduled-left", Annotations: map[string]string{schedule.AnnotationScheduled: Name}},
		Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationRenewCertificates, RenewCertificates: &v1alpha1.RenewCertificatesSpec{Nodes: []v1alpha1.NodeCertificates{{Name: "cp2", Local: []string{certs.APIServer}}}}}}
	if err := left.SetAgents(w.run.Agents); err != nil {
		t.Fatal(err)
	}
	if _, err := w.run.Ops.Create(ctx, left); err != nil {
		t.Fatal(err)
	}
	w.nodes.found["cp2"], w.done = w.nodes.found["cp1"], nil
	if err := w.run.do(ctx); err != nil || len(w.done) != 1 || w.done[0] != left.Name {
		t.Errorf("one that was left: %v, carried out %v", err, w.done)
	}

	// A node that is not ready is passed over, one that can't be looked at is a failure.
	n, err := w.admin.Kube.CoreV1().Nodes().Get(ctx, "cp3", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Status.Conditions[0].Status = corev1.ConditionUnknown
	if _, err := w.admin.Kube.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.nodes.away["cp3"] = "nobody asks it"
	if err := w.run.do(ctx); err != nil {
		t.Errorf("a node is away: %v", err)
	}
	w.nodes.away["cp1"] = "ErrImageNeverPull"
	if err := w.run.do(ctx); err == nil || !strings.Contains(err.Error(), "cp1 could not be looked at: ErrImageNeverPull") {
		t.Errorf("a look fails: %v", err)
	}
}

// TestRunTells: what etcd's CA has signed is told of by Events about the CronJob.
func TestRunTells(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	soon := lived(certs.EtcdServer, certs.OwnerWorkstation, 0.9)
	w.nodes.found["cp1"] = certs.LookData{Time: time.Now(), Certificates: []certs.Certificate{soon}}
	w.run.elsewhere = func(context.Context, []v1alpha1.Host) ([]certs.Elsewhere, map[string]string) {
		return []certs.Elsewhere{{Host: "e1", Name: certs.EtcdPeer, NotAfter: time.Now().Add(-time.Hour)}}, map[string]string{}
	}
	if err := w.run.do(ctx); err != nil {
		t.Errorf("without a schedule there is nothing to tell about: %v", err)
	}
	if changed, err := Apply(ctx, w.admin, w.run.Cluster, Spec{Agents: w.run.Agents}); err != nil || !changed {
		t.Fatalf("%v %v", changed, err)
	}
	if err := w.run.do(ctx); err != nil {
		t.Fatal(err)
	}
	list, err := w.admin.Kube.EventsV1().Events("ha-system").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, e := range list.Items {
		related := ""
		if e.Related != nil {
			related = e.Related.Name
		}
		if e.Regarding.Kind == "CronJob" && e.Regarding.Name == Name {
			seen[e.Reason+" "+related] = e.Type + " " + e.Note
		}
	}
	if len(seen) != 2 || !strings.HasPrefix(seen["CertificateExpiring cp1"], "Warning etcd-server of cp1 ends in 36 days") || !strings.HasPrefix(seen["CertificateExpired "], "Warning etcd-peer of e1 has ended") {
		t.Errorf("%v", seen)
	}
	if all := strings.Join(w.log, "\n"); !strings.Contains(all, "etcd-server of cp1 ends in 36 days") {
		t.Errorf("its log is %s", all)
	}
}

// TestRights: who has the coordinator's token creates no Operation of another kind by it.
func TestRights(t *testing.T) {
	w := newWorld(t)
	for what, tc := range map[string]struct {
		change func(*v1alpha1.Operation)
		may    bool
	}{
		"as it is": {func(*v1alpha1.Operation) {}, true},
		"a former agent's name": {func(op *v1alpha1.Operation) {
			op.Annotations[v1alpha1.AnnotationAgentImage] = "kubectl-ha.dev/agent:v0"
		}, true},
		"another image": {func(op *v1alpha1.Operation) { op.Annotations[v1alpha1.AnnotationAgentImage] = "example.com/agent:v1" }, false},
		"no image":      {func(op *v1alpha1.Operation) { op.Annotations = nil }, false},
		"signed elsewhere": {func(op *v1alpha1.Operation) {
			op.Spec.RenewCertificates.Nodes[0].Signed = []string{certs.EtcdServer}
		}, false},
		"another type": {func(op *v1alpha1.Operation) {
			op.Spec = v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveNode, RemoveNode: &v1alpha1.RemoveNodeSpec{Node: "cp1"}}
		}, false},
		"two in one": {func(op *v1alpha1.Operation) {
			op.Spec.Type, op.Spec.RemoveNode = v1alpha1.OperationRemoveNode, &v1alpha1.RemoveNodeSpec{Node: "cp1"}
		}, false},
	} {
		if err := w.create(tc.change); (err == nil) != tc.may {
			t.Errorf("%s: %v", what, err)
		}
	}
	// It is the operator's to say that there is a schedule.
	if _, err := Apply(t.Context(), w.run.Clients, w.run.Cluster, Spec{Agents: w.run.Agents}); err == nil {
		t.Error("a coordinator writes a CronJob")
	}
}

// TestFollow: the schedule runs what was just brought to the nodes, and stays what it was else.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	kube := w.admin.Kube
	if changed, err := Follow(ctx, w.admin, agents("b", "amd64")); err != nil || changed {
		t.Errorf("without a schedule: %v %v", changed, err)
	}
	if s, err := Renewal().Look(ctx, kube); s != nil || err != nil {
		t.Errorf("%+v %v", s, err)
	}
	spec := Spec{Cron: "@weekly", Life: 20 * time.Minute, Agents: agents("a", "amd64")}
	for i, want := range []bool{true, false} {
		if changed, err := Apply(ctx, w.admin, w.run.Cluster, spec); err != nil || changed != want {
			t.Errorf("%d: %v %v", i, changed, err)
		}
	}
	j, err := kube.BatchV1().CronJobs("ha-system").Get(ctx, Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	j.Spec.Suspend = &yes
	if _, err := kube.BatchV1().CronJobs("ha-system").Update(ctx, j, metav1.UpdateOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	newer := agents("b", "arm64", "amd64")
	for i, want := range []bool{true, false} {
		if changed, err := Follow(ctx, w.admin, newer); err != nil || changed != want {
			t.Errorf("%d: %v %v", i, changed, err)
		}
	}
	s, err := Renewal().Look(ctx, kube)
	if err != nil || s == nil || s.Image != newer.Image() || s.Cron != "@weekly" || !s.Suspended {
		t.Errorf("%+v %v", s, err)
	}
	if j, err = kube.BatchV1().CronJobs("ha-system").Get(ctx, Name, metav1.GetOptions{}); err != nil || lifeOf(j) != spec.Life {
		t.Errorf("%v %v", j.Annotations, err)
	}
	for i, want := range []bool{true, false} {
		if there, err := Renewal().Remove(ctx, kube); err != nil || there != want {
			t.Errorf("%d: %v %v", i, there, err)
		}
	}
}
