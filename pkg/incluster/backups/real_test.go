package backups

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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/offsite"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// host plays what nodes do, and the target.
type host struct {
	t  *testing.T
	at []backup.Manifest
	// jobs are those that ran, each with its task and node; refused is what a target answers.
	jobs    map[string]string
	refused string
}

type onJob struct {
	*host
	engine.Job
}

func (h onJob) Run(_ context.Context, name string, req node.Request, _ report.Sink) (node.Result, error) {
	if was, again := h.jobs[h.Name]; again && was != req.Task+" "+name {
		h.t.Errorf("the Job %s is %s and %s %s", h.Name, was, req.Task, name)
	}
	h.jobs[h.Name] = req.Task + " " + name
	var data any
	switch req.Task {
	case tasks.Backup:
		b := taskbackup.Data{Backup: taskbackup.Backup{Name: "scheduled-5", Created: time.Unix(1800000000, 0).UTC(), Archive: taskbackup.Archive{Bytes: 10}}}
		if name == "cp1" {
			b.Snapshot = &taskbackup.Snapshot{Revision: 7, Entries: 9, Bytes: 100}
		}
		data = b
	case tasks.SendBackup:
		var spec offsite.SendSpec
		h.must(json.Unmarshal(req.Spec, &spec))
		if spec.Store.Credentials["accessKeyID"] != "id" || len(spec.Recipients) != 1 || spec.Snapshot != (name == "cp1") {
			h.t.Errorf("%s sends %+v", name, spec)
		}
		s := offsite.SendData{Identity: "abc", Parts: []backup.Part{{Kind: backup.KindHost, Host: name, Object: name, SealedBytes: 20}}}
		if spec.Snapshot {
			s.Made = taskbackup.Backup{Created: time.Unix(1800000000, 0).UTC(), Snapshot: &taskbackup.Snapshot{Revision: 7, Entries: 9}}
		}
		data = s
	case tasks.BackupTarget:
		var spec offsite.TargetSpec
		h.must(json.Unmarshal(req.Spec, &spec))
		if spec.Finish != nil {
			h.at = append(h.at, *spec.Finish)
		}
		if spec.Delete != nil && h.refused != "" {
			return node.Result{Failure: &node.Failure{Message: h.refused}}, nil
		}
		h.at = slices.DeleteFunc(h.at, func(m backup.Manifest) bool { return slices.Contains(spec.Delete, m.Name) })
		data = offsite.TargetData{Listed: backup.Listed{Backups: h.at}}
	default:
		h.t.Errorf("the task %s", req.Task)
	}
	raw, err := json.Marshal(data)
	return node.Result{Data: raw}, err
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// turn is a step of an Operation whose other steps have succeeded.
func (h *host) turn(clients *client.Clients, c *v1alpha1.Cluster, op *v1alpha1.Operation, id string) engine.Turn {
	t := engine.Turn{Env: engine.Env{Clients: clients, Cluster: c, Operation: op, Runner: func(j engine.Job) transport.Runner { return onJob{h, j} }}, Sink: report.Discard()}
	for _, s := range op.Status.Steps {
		if s.ID == id {
			t.Step = s
		}
	}
	if t.Step.ID == "" {
		h.t.Fatalf("there is no step %s", id)
	}
	return t
}

func (h *host) operation(clients *client.Clients, c *v1alpha1.Cluster, name string, spec v1alpha1.BackupSpec, away ...string) *v1alpha1.Operation {
	h.t.Helper()
	op, err := operations.New(clients.Dynamic).Create(h.t.Context(), &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationBackup, Backup: &spec}})
	h.must(err)
	op.Status.Steps, err = Plan(&spec, c, nodes(away...))
	h.must(err)
	for i := range op.Status.Steps {
		s := &op.Status.Steps[i]
		s.Attempt, s.Job = 1, engine.JobName(name, s.ID, 1)
	}
	return op
}

// TestFinish: what hosts have made is one backup with its manifest, is noted on the Operation, and
// makes room for itself among the scheduled ones only.
func TestFinish(t *testing.T) {
	server := kubetest.Start(t)
	clients, err := client.New(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	c := document(t)
	h := &host{t: t, jobs: map[string]string{}}
	objects, err := apply.Load(manifests.FS, manifests.OperationCRD)
	h.must(err)
	_, err = apply.Apply(t.Context(), clients, append([]*unstructured.Unstructured{}, objects...), apply.Options{Force: true})
	h.must(err)
	ops := operations.New(clients.Dynamic)
	if !poll.Until(time.Minute, func() bool {
		_, err = ops.Get(t.Context(), "none")
		return err != nil && strings.Contains(err.Error(), `"none" not found`)
	}) {
		t.Fatal(err)
	}
	_, err = clients.Kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ha-system"}}, metav1.CreateOptions{})
	h.must(err)

	// On the nodes.
	local := h.operation(clients, c, "scheduled-4", v1alpha1.BackupSpec{Keep: v1alpha1.BackupKeep{Last: 2, Daily: 7}})
	for _, id := range []string{"backup/cp1", "backup/w1"} {
		req, err := take(t.Context(), h.turn(clients, c, local, id))
		h.must(err)
		var spec taskbackup.Spec
		h.must(json.Unmarshal(req.Spec, &spec))
		if spec.Operation != local.Name || spec.Keep != 2 || spec.Daily != 7 || len(spec.Endpoints) != 3 {
			t.Errorf("%s: %+v", id, spec)
		}
	}
	said, err := finish(t.Context(), h.turn(clients, c, local, stepFinish))
	if err != nil || said.Message != "etcd at revision 7, on 3 hosts" {
		t.Errorf("%+v %v", said, err)
	}
	noted := func(name string) v1alpha1.MadeBackup {
		t.Helper()
		op, err := ops.Get(t.Context(), name)
		h.must(err)
		m, err := op.MadeBackup()
		if err != nil || m == nil {
			t.Fatalf("%v %v", m, err)
		}
		return *m
	}
	if m := noted(local.Name); m.Revision != 7 || m.Bytes != 130 || m.Created.Unix() != 1800000000 {
		t.Errorf("%+v", m)
	}

	// Sent, while a host is away.
	sentSpec := v1alpha1.BackupSpec{TargetSecret: "target", Keep: v1alpha1.BackupKeep{Last: 1}}
	op := h.operation(clients, c, "scheduled-5", sentSpec, "cp2")
	if _, err := send(t.Context(), h.turn(clients, c, op, "send/cp1")); err == nil || !strings.Contains(err.Error(), "where backups are sent") {
		t.Errorf("without its Secret: %v", err)
	}
	_, err = clients.Kube.CoreV1().Secrets("ha-system").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "target"}, StringData: map[string]string{KeyTo: "s3://bucket/b", "accessKeyID": "id"}}, metav1.CreateOptions{})
	h.must(err)
	for id, want := range map[string]int{"backup/cp1": 3, "backup/w1": 0} {
		req, err := take(t.Context(), h.turn(clients, c, op, id))
		h.must(err)
		var spec taskbackup.Spec
		h.must(json.Unmarshal(req.Spec, &spec))
		if spec.Keep != 0 || len(spec.Endpoints) != want {
			t.Errorf("%s: %+v", id, spec)
		}
	}
	for range 2 { // A second coordinator does the same again.
		h.at = []backup.Manifest{{Name: "by-hand", Created: time.Unix(1700000000, 0)}, {Name: "scheduled-3", Created: time.Unix(1700000000, 0)}, {Name: "scheduled-2", Created: time.Unix(1600000000, 0)}}
		if _, err := finish(t.Context(), h.turn(clients, c, op, stepFinish)); err != nil {
			t.Fatal(err)
		}
	}
	m := h.at[len(h.at)-1]
	if m.Name != op.Name || m.Cluster != "test" || m.Revision != 7 || m.Entries != 9 || len(m.Parts) != 2 || m.Identity != "abc" {
		t.Errorf("%+v", m)
	}
	if m := noted(op.Name); m.Revision != 7 || m.Bytes != 40 {
		t.Errorf("%+v", m)
	}
	h.refused = "access denied"
	if _, err := retain(t.Context(), h.turn(clients, c, op, stepRetain)); err == nil || !strings.Contains(err.Error(), "access denied") {
		t.Errorf("%v", err)
	}
	h.refused = ""
	// An upgrade is not through that began before: what was made before that stays.
	upgrade, err := ops.Create(t.Context(), &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "upgrade-x"}, Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &v1alpha1.UpgradeSpec{Version: "v1.36.3"}}})
	h.must(err)
	after := upgrade.CreationTimestamp.Add(time.Second)
	if !poll.Until(time.Minute, func() bool { return time.Now().After(after) }) {
		t.Fatal("the clock stands still")
	}
	h.at = slices.DeleteFunc(h.at, func(m backup.Manifest) bool { return m.Name == op.Name })
	h.at = append(h.at, backup.Manifest{Name: "scheduled-6", Created: upgrade.CreationTimestamp.Add(-time.Hour)}, backup.Manifest{Name: op.Name, Created: after})
	again := h.turn(clients, c, op, stepRetain)
	again.Step.Attempt = 2
	if _, err := retain(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, m := range h.at {
		left = append(left, m.Name)
	}
	slices.Sort(left)
	if fmt.Sprint(left) != "[by-hand scheduled-5 scheduled-6]" {
		t.Errorf("left are %v", left)
	}
}
