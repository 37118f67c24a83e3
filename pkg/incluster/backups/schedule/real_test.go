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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	base "github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// nodes note what they are to tell Prometheus.
type nodes struct {
	t    *testing.T
	mu   sync.Mutex
	told map[string]backup.MetricsSpec
}

func (n *nodes) Run(_ context.Context, host string, req node.Request, _ report.Sink) (node.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if req.Task != tasks.BackupMetrics {
		n.t.Errorf("the task %s on %s", req.Task, host)
	}
	if host == "cp2" {
		return node.Result{}, errors.New("cp2 is silent")
	}
	var spec backup.MetricsSpec
	err := json.Unmarshal(req.Spec, &spec)
	n.told[host] = spec
	return node.Result{}, err
}

// world is a real API server with this program's part, seen with the coordinator's rights.
type world struct {
	*testing.T
	run   *run
	nodes *nodes
	admin *client.Clients
	log   []string
	// end is how the next Operation ends, whole whether its backup is; done are those that were
	// carried out.
	end   v1alpha1.OperationPhase
	whole bool
	done  []string
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
	w := &world{T: t, admin: admin, nodes: &nodes{t: t, told: map[string]backup.MetricsSpec{}}, end: v1alpha1.OperationSucceeded, whole: true}
	w.run = &run{Settings: Settings{To: "offsite", Keep: v1alpha1.BackupKeep{Last: 3}},
		Run: &base.Run{Kind: Backup(), Clients: mine, Cluster: c, Ops: operations.New(mine.Dynamic), Via: w.nodes, Quiet: 2 * time.Second, Interval: 100 * time.Millisecond, Coordinate: w.coordinate,
			Options: base.Options{Agents: agents("a", "amd64"), Identity: "scheduled-backup-1-x", Sink: report.SinkFunc(func(e report.Event) { w.log = append(w.log, e.Message) })}}}
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
	if w.whole {
		if _, err := w.run.Ops.Modify(ctx, name, func(op *v1alpha1.Operation) error {
			return op.SetMadeBackup(v1alpha1.MadeBackup{Name: name, Created: time.Now(), Revision: int64(len(w.done)), Bytes: 1 << 20})
		}); err != nil {
			return err
		}
	}
	_, err := w.run.Ops.ModifyStatus(ctx, name, func(op *v1alpha1.Operation) error {
		op.Status.Phase, op.Status.Message = w.end, "as the test wants it"
		return nil
	})
	return err
}

// create tries what a run creates, changed.
func (w *world) create(change func(*v1alpha1.Operation)) error {
	op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "tried-" + fmt.Sprint(time.Now().UnixNano())},
		Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationBackup, Backup: &v1alpha1.BackupSpec{TargetSecret: TargetSecret}}}
	if err := op.SetAgents(w.run.Agents); err != nil {
		w.Fatal(err)
	}
	change(op)
	_, err := w.run.Ops.Create(w.Context(), op)
	if err == nil { // It is in the way of others.
		err = operations.New(w.admin.Dynamic).Delete(w.Context(), op.Name)
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

// later waits for the next second, of which an Operation's name is.
func (w *world) later() {
	w.Helper()
	now := time.Now().Unix()
	if !poll.Until(5*time.Second, func() bool { return time.Now().Unix() > now }) {
		w.Fatal("the clock stands still")
	}
}

// TestRun: with the coordinator's own rights a run creates one Operation, goes on with what an
// earlier one has left, begins anew after a failure, waits for others', and tells of all of it.
func TestRun(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	if _, err := Apply(ctx, w.admin, w.run.Cluster, Spec{Settings: w.run.Settings, Agents: w.run.Agents}); err != nil {
		t.Fatal(err)
	}
	if err := w.run.do(ctx); err != nil {
		t.Fatal(err)
	}
	all := w.operations()
	if len(all) != 1 || !Backup().Mine(all[0]) || all[0].Spec.Backup.TargetSecret != TargetSecret || all[0].Spec.Backup.Keep != w.run.Keep || !backup.Scheduled(all[0].Name) {
		t.Fatalf("%+v", all)
	}
	if told := w.nodes.told["cp1"]; told.Failed || told.Last == nil || told.Last.Name != all[0].Name || told.Period != 24*time.Hour || len(w.nodes.told) != 2 {
		t.Errorf("Prometheus is told %+v", w.nodes.told)
	}
	if log := strings.Join(w.log, "\n"); !strings.Contains(log, "cp2: cp2 is silent") {
		t.Errorf("its log is %s", log)
	}

	// One that fails is told of with the last good one, and is not gone on with.
	w.later()
	w.end, w.whole = v1alpha1.OperationFailed, false
	if err := w.run.do(ctx); err == nil || !strings.Contains(err.Error(), "as the test wants it") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("a failed Operation: %v", err)
	}
	if told := w.nodes.told["cp3"]; !told.Failed || told.Last == nil || told.Last.Name != all[0].Name {
		t.Errorf("Prometheus is told %+v", told)
	}
	w.later()
	w.end, w.whole = v1alpha1.OperationSucceeded, true
	if err := w.run.do(ctx); err != nil || len(w.done) != 3 || w.done[1] == w.done[2] {
		t.Fatalf("the next one: %v, carried out %v", err, w.done)
	}
	events, err := w.admin.Kube.EventsV1().Events("ha-system").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, e := range events.Items {
		if e.Regarding.Kind == "CronJob" && e.Regarding.Name == Name {
			seen[e.Type+" "+e.Reason] = e.Note
		}
	}
	if len(seen) != 2 || !strings.Contains(seen["Normal BackupMade"], report.Size(1<<20)) || !strings.Contains(seen["Warning BackupFailed"], "as the test wants it") {
		t.Errorf("%v", seen)
	}

	// Another one's is waited for, and named when it does not end.
	other, err := operations.New(w.admin.Dynamic).Create(ctx, &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "pruneimages-x"}, Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationPruneImages, PruneImages: &v1alpha1.PruneImagesSpec{Nodes: []v1alpha1.NodeImages{{Name: "w1", Refs: []string{"example.com/a:1"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	before := len(w.operations())
	if err := w.run.do(ctx); err == nil || !strings.Contains(err.Error(), "no backup was made") || !strings.Contains(err.Error(), other.Name) || len(w.operations()) != before {
		t.Errorf("while another one is unfinished: %v", err)
	}
	if err := operations.New(w.admin.Dynamic).Delete(ctx, other.Name); err != nil {
		t.Fatal(err)
	}

	// A run that was killed has left its own unfinished: that is brought to its end, and then comes a new one.
	w.later()
	left, err := w.run.Begin(ctx, "scheduled-left", v1alpha1.OperationSpec{Type: v1alpha1.OperationBackup, Backup: &v1alpha1.BackupSpec{}})
	if err != nil {
		t.Fatal(err)
	}
	w.done = nil
	if err := w.run.do(ctx); err != nil || len(w.done) != 2 || w.done[0] != left.Name {
		t.Errorf("one that was left: %v, carried out %v", err, w.done)
	}

	// A backup that is whole although the run has failed counts; and records don't pile up.
	for range keepRecords {
		w.later()
		w.end = v1alpha1.OperationFailed
		if err := w.run.do(ctx); err == nil {
			t.Fatal("a failed Operation")
		}
	}
	if all := w.operations(); len(all) != keepRecords || last(all).Name != all[len(all)-1].Name {
		t.Errorf("%d operations stay, the last good is %+v", len(all), last(all))
	}

	// Where the schedule was taken away nobody wants to know.
	w.later()
	if _, err := Backup().Remove(ctx, w.admin.Kube); err != nil {
		t.Fatal(err)
	}
	w.nodes.told, w.end = map[string]backup.MetricsSpec{}, v1alpha1.OperationSucceeded
	if err := w.run.do(ctx); err != nil || len(w.nodes.told) != 0 {
		t.Errorf("%v, %v", err, w.nodes.told)
	}
}

// TestRights: who has the coordinator's token sends backups nowhere else by it, and takes no other
// Operation away.
func TestRights(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for what, tc := range map[string]struct {
		change func(*v1alpha1.Operation)
		may    bool
	}{
		"as it is":          {func(*v1alpha1.Operation) {}, true},
		"on the nodes":      {func(op *v1alpha1.Operation) { op.Spec.Backup.TargetSecret = "" }, true},
		"to where it likes": {func(op *v1alpha1.Operation) { op.Spec.Backup.TargetSecret = "mine" }, false},
		"another image":     {func(op *v1alpha1.Operation) { op.Annotations[v1alpha1.AnnotationAgentImage] = "example.com/agent:v1" }, false},
		"another type as well": {func(op *v1alpha1.Operation) {
			op.Spec.Type, op.Spec.RemoveNode = v1alpha1.OperationRemoveNode, &v1alpha1.RemoveNodeSpec{Node: "cp1"}
		}, false},
	} {
		if err := w.create(tc.change); (err == nil) != tc.may {
			t.Errorf("%s: %v", what, err)
		}
	}
	admin := operations.New(w.admin.Dynamic)
	for what, tc := range map[string]struct {
		by    string
		phase v1alpha1.OperationPhase
		spec  v1alpha1.OperationSpec
		may   bool
	}{
		"of a schedule":      {Name, v1alpha1.OperationFailed, v1alpha1.OperationSpec{Type: v1alpha1.OperationBackup, Backup: &v1alpha1.BackupSpec{}}, true},
		"that is under way":  {Name, v1alpha1.OperationRunning, v1alpha1.OperationSpec{Type: v1alpha1.OperationBackup, Backup: &v1alpha1.BackupSpec{}}, false},
		"that is new":        {Name, "", v1alpha1.OperationSpec{Type: v1alpha1.OperationBackup, Backup: &v1alpha1.BackupSpec{}}, false},
		"of a person":        {"", v1alpha1.OperationSucceeded, v1alpha1.OperationSpec{Type: v1alpha1.OperationBackup, Backup: &v1alpha1.BackupSpec{}}, false},
		"of another kind":    {Name, v1alpha1.OperationSucceeded, v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveNode, RemoveNode: &v1alpha1.RemoveNodeSpec{Node: "cp1"}}, false},
		"of another by name": {"certificate-renewal", v1alpha1.OperationSucceeded, v1alpha1.OperationSpec{Type: v1alpha1.OperationBackup, Backup: &v1alpha1.BackupSpec{}}, false},
	} {
		op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "tried", Annotations: map[string]string{base.AnnotationScheduled: tc.by}}, Spec: tc.spec}
		if _, err := admin.Create(ctx, op); err != nil {
			t.Fatal(err)
		}
		if tc.phase != "" {
			if _, err := admin.ModifyStatus(ctx, op.Name, func(op *v1alpha1.Operation) error { op.Status.Phase = tc.phase; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		err := w.run.Ops.Delete(ctx, op.Name)
		if (err == nil) != tc.may {
			t.Errorf("an Operation %s is deleted: %v", what, err)
		}
		if err != nil {
			if err := admin.Delete(ctx, op.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	// It is the operator's to say that there is a schedule, and where it sends.
	if _, err := Apply(ctx, w.run.Clients, w.run.Cluster, Spec{Agents: w.run.Agents}); err == nil {
		t.Error("a coordinator writes a CronJob")
	}
	mine := w.run.Clients.Kube.CoreV1().Secrets("ha-system")
	elsewhere := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: TargetSecret}, Data: map[string][]byte{backups.KeyTo: []byte("s3://mine")}}
	if _, err := mine.Create(ctx, elsewhere, metav1.CreateOptions{}); err == nil {
		t.Error("a coordinator says where backups go")
	}
	if _, err := WriteTarget(ctx, w.admin, "offsite", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Update(ctx, elsewhere, metav1.UpdateOptions{}); err == nil {
		t.Error("a coordinator says where backups go")
	}
	if err := mine.Delete(ctx, TargetSecret, metav1.DeleteOptions{}); err == nil {
		t.Error("a coordinator takes away where backups go")
	}
}

// TestTarget: credentials of a file are the schedule's own; else the target's Secret counts, as it
// is at that time.
func TestTarget(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	kube := w.admin.Kube
	read := func() (string, error) {
		s, err := backups.Scheduled(ctx, w.run.Clients.Kube, w.run.Cluster, TargetSecret)
		if err != nil {
			return "", err
		}
		return s.URL + " " + s.Credentials["accessKeyID"], nil
	}
	if _, err := read(); !apierrors.IsNotFound(err) {
		t.Errorf("none: %v", err)
	}
	for i, want := range []bool{true, false} {
		if changed, err := WriteTarget(ctx, w.admin, "s3://bucket/b", map[string]string{"accessKeyID": "own"}); err != nil || changed != want {
			t.Errorf("%d: %v %v", i, changed, err)
		}
	}
	if got, err := read(); got != "s3://bucket/b own" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if changed, err := WriteTarget(ctx, w.admin, "offsite", nil); err != nil || !changed {
		t.Errorf("%v %v", changed, err)
	}
	var missing *backups.NoSecretError
	if _, err := read(); !errors.As(err, &missing) || missing.Secret != "backup-offsite" {
		t.Errorf("former credentials are left: %v", err)
	}
	if _, err := kube.CoreV1().Secrets("ha-system").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "backup-offsite"}, StringData: map[string]string{"accessKeyID": "theirs"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := read(); got != "s3://bucket/a theirs" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	for i, want := range []bool{true, false} {
		if there, err := RemoveTarget(ctx, kube); err != nil || there != want {
			t.Errorf("%d: %v %v", i, there, err)
		}
	}
}

// TestFollow: the schedule runs what was just brought to the nodes, and stays what it was else.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	if changed, err := Follow(ctx, w.admin, agents("b", "amd64")); err != nil || changed {
		t.Errorf("without a schedule: %v %v", changed, err)
	}
	if s, err := Look(ctx, w.admin, time.Now()); s != nil || err != nil {
		t.Errorf("%+v %v", s, err)
	}
	spec := Spec{Cron: "@weekly", Settings: w.run.Settings, Agents: agents("a", "amd64")}
	for i, want := range []bool{true, false} {
		if changed, err := Apply(ctx, w.admin, w.run.Cluster, spec); err != nil || changed != want {
			t.Errorf("%d: %v %v", i, changed, err)
		}
	}
	newer := agents("b", "arm64", "amd64")
	for i, want := range []bool{true, false} {
		if changed, err := Follow(ctx, w.admin, newer); err != nil || changed != want {
			t.Errorf("%d: %v %v", i, changed, err)
		}
	}
	now := time.Now()
	s, err := Look(ctx, w.admin, now)
	if err != nil || s == nil || s.Image != newer.Image() || s.Cron != "@weekly" || s.Settings != w.run.Settings || !s.Next.After(now) || s.Last != nil {
		t.Errorf("%+v %v", s, err)
	}
	for i, want := range []bool{true, false} {
		if there, err := Backup().Remove(ctx, w.admin.Kube); err != nil || there != want {
			t.Errorf("%d: %v %v", i, there, err)
		}
	}
}
