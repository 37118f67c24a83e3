package backups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/offsite"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// TargetTimeout bounds a look at a target, and the removal of backups there.
	TargetTimeout = 10 * time.Minute
	lockTimeout   = 5 * time.Minute
	// lostAfter is for how long a node may be silent before its attempt counts as lost; what is
	// there already is not made again.
	lostAfter   = 2 * time.Minute
	lostRetries = 3
	// funcTimeout bounds a step that asks the target twice.
	funcTimeout = 2 * (TargetTimeout + lockTimeout)
)

// Definition is the Backup Operation.
func Definition() engine.Definition {
	return engine.Definition{
		Plan: func(ctx context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			list, err := env.Clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, fmt.Errorf("list nodes: %w", err)
			}
			return Plan(env.Operation.Spec.Backup, env.Cluster, list.Items)
		},
		Steps: map[string]engine.Step{
			StepBackup: engine.NodeTask{KeepJob: true, Request: take, LostRetries: lostRetries, LostAfter: lostAfter, Message: taken},
			stepSend:   engine.NodeTask{KeepJob: true, Request: send, LostRetries: lostRetries, LostAfter: lostAfter, MayAbort: true, Message: sent},
			stepFinish: engine.Func{Do: finish, Timeout: funcTimeout},
			stepRetain: engine.Func{Do: retain, Timeout: funcTimeout},
		},
	}
}

// take has a host make its part. What goes to a target has the snapshot of one host; else each has
// one, since any of the hosts may be the one that is left.
func take(ctx context.Context, t engine.Turn) (node.Request, error) {
	h, ok := t.Cluster.Host(t.Step.Node)
	if !ok {
		return node.Request{}, fmt.Errorf("the stored Cluster document has no host %s", t.Step.Node)
	}
	all, err := operations.New(t.Clients.Dynamic).List(ctx)
	if err != nil {
		return node.Request{}, err
	}
	spec := taskbackup.Spec{Operation: t.Operation.Name, Protect: slices.Sorted(maps.Keys(Began(all)))}
	if want := t.Operation.Spec.Backup; want.TargetSecret == "" {
		spec.Keep, spec.Daily, spec.Weekly = int(want.Keep.Last), int(want.Keep.Daily), int(want.Keep.Weekly)
	}
	if t.Operation.Spec.Backup.TargetSecret == "" || first(t, StepBackup) == h.Name {
		spec.Endpoints = Endpoints(t.Cluster, h)
	}
	r, err := node.NewRequest(tasks.Backup, taskbackup.Timeout, spec)
	r.LockTimeout = lockTimeout
	return r, err
}

// first is the node of the first step of a kind that is not passed over: it gives the snapshot.
func first(t engine.Turn, kind string) string {
	for _, s := range t.Operation.Status.Steps {
		if isOf(s, kind) {
			return s.Node
		}
	}
	return ""
}

// isOf tells whether a step is one of a kind on a node; one that was skipped is not.
func isOf(s v1alpha1.StepStatus, kind string) bool {
	return s.Node != "" && s.ID == kind+"/"+s.Node && s.State != v1alpha1.StepSkipped
}

func send(ctx context.Context, t engine.Turn) (node.Request, error) {
	if _, err := backup.Recipients(t.Cluster.Spec.Backup.Recipients); err != nil {
		return node.Request{}, fmt.Errorf("spec.backup of the stored Cluster document: %w", err)
	}
	to, err := Scheduled(ctx, t.Clients.Kube, t.Cluster, t.Operation.Spec.Backup.TargetSecret)
	if err != nil {
		return node.Request{}, err
	}
	r, err := node.NewRequest(tasks.SendBackup, offsite.Timeout, offsite.SendSpec{Backup: t.Operation.Name, Host: t.Step.Node,
		Snapshot: first(t, stepSend) == t.Step.Node, Recipients: t.Cluster.Spec.Backup.Recipients, Store: *to})
	r.LockTimeout = lockTimeout
	return r, err
}

// results are what the steps of a kind have answered: who asks for the same Job again gets that.
func results[T any](ctx context.Context, t engine.Turn, kind string, request func(context.Context, engine.Turn) (node.Request, error)) (hosts []string, out []T, err error) {
	for _, s := range t.Operation.Status.Steps {
		if !isOf(s, kind) {
			continue
		}
		of := t
		of.Step = s
		req, err := request(ctx, of)
		if err != nil {
			return nil, nil, err
		}
		var data T
		if err := run(ctx, of, s.Job, s.Node, req, &data); err != nil {
			return nil, nil, err
		}
		hosts, out = append(hosts, s.Node), append(out, data)
	}
	if len(out) == 0 {
		return nil, nil, errors.New("no host has anything of the backup")
	}
	return hosts, out, nil
}

func run(ctx context.Context, t engine.Turn, job, host string, req node.Request, into any) error {
	req.Cluster, req.Step = t.Cluster.Metadata.Name, t.Step.ID
	res, err := t.Runner(engine.Job{Name: job, Owner: operations.Owner(t.Operation), LostAfter: lostAfter}).Run(ctx, host, req, t.Sink)
	switch {
	case err != nil:
		return err
	case res.Failure != nil:
		return &engine.TaskError{Node: host, Failure: *res.Failure}
	}
	if err := json.Unmarshal(res.Data, into); err != nil {
		return fmt.Errorf("%s: the answer of %s can't be read: %w", host, req.Task, err)
	}
	return nil
}

// atTarget asks the target by the host that gives the snapshot; what is the Job's own for each
// question of a step.
func atTarget(ctx context.Context, t engine.Turn, what string, spec offsite.TargetSpec) (data offsite.TargetData, err error) {
	to, err := Scheduled(ctx, t.Clients.Kube, t.Cluster, t.Operation.Spec.Backup.TargetSecret)
	if err != nil {
		return data, err
	}
	spec.Store = *to
	req, err := node.NewRequest(tasks.BackupTarget, TargetTimeout, spec)
	if err != nil {
		return data, err
	}
	req.LockTimeout = lockTimeout
	return data, run(ctx, t, engine.JobName(t.Operation.Name, t.Step.ID+"/"+what, t.Step.Attempt), first(t, stepSend), req, &data)
}

// finish makes a backup of what was made: at a target it is one with its manifest, and in either
// case it is noted on the Operation.
func finish(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	made := v1alpha1.MadeBackup{Name: t.Operation.Name}
	if t.Operation.Spec.Backup.TargetSecret == "" {
		_, all, err := results[taskbackup.Data](ctx, t, StepBackup, take)
		if err != nil {
			return engine.Outcome{}, err
		}
		for _, d := range all {
			made.Bytes += d.Archive.Bytes
			if d.Snapshot != nil {
				made.Bytes += d.Snapshot.Bytes
			}
		}
		m := backup.Manifest{}
		Note(&m, all[0].Backup)
		made.Created, made.Revision = m.Created, m.Revision
		return engine.Outcome{Message: fmt.Sprintf("etcd at revision %d, on %s", made.Revision, report.Plural(len(all), "host", "hosts"))}, note(ctx, t, made)
	}
	hosts, all, err := results[offsite.SendData](ctx, t, stepSend, send)
	if err != nil {
		return engine.Outcome{}, err
	}
	m := Manifest(t.Cluster, t.Operation.Name)
	Note(&m, all[0].Made)
	if err := Gather(&m, hosts, all); err != nil {
		return engine.Outcome{}, err
	}
	ops, err := operations.New(t.Clients.Dynamic).Heads(ctx)
	if err != nil {
		return engine.Outcome{}, err
	}
	if _, err := atTarget(ctx, t, "manifest", offsite.TargetSpec{Finish: &m, Tidy: true, Spared: InProgress(ops)}); err != nil {
		return engine.Outcome{}, err
	}
	made.Created, made.Revision, made.Bytes = m.Created, m.Revision, m.Size()
	return engine.Outcome{Message: fmt.Sprintf("etcd at revision %d, %s at the target", made.Revision, report.Size(made.Bytes))}, note(ctx, t, made)
}

func note(ctx context.Context, t engine.Turn, made v1alpha1.MadeBackup) error {
	_, err := operations.New(t.Clients.Dynamic).Modify(ctx, t.Operation.Name, func(op *v1alpha1.Operation) error { return op.SetMadeBackup(made) })
	return err
}

// retain removes at the target the scheduled backups that are too many: never the newest, nor the
// last one of before an upgrade that is not through. What others have put there stays.
func retain(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	data, err := atTarget(ctx, t, "list", offsite.TargetSpec{})
	if err != nil {
		return engine.Outcome{}, err
	}
	all, err := operations.New(t.Clients.Dynamic).List(ctx)
	if err != nil {
		return engine.Outcome{}, err
	}
	remove := Surplus(data.Backups, t.Operation.Spec.Backup.Keep, Began(all), time.Now())
	if len(remove) == 0 {
		return engine.Outcome{Message: "none is"}, nil
	}
	if _, err := atTarget(ctx, t, "delete", offsite.TargetSpec{Delete: remove}); err != nil {
		return engine.Outcome{}, err
	}
	return engine.Outcome{Message: "removed " + report.Plural(len(remove), "backup", "backups")}, nil
}

// Surplus are the scheduled backups at a target that are too many, by name. It is pure.
func Surplus(all []backup.Manifest, keep v1alpha1.BackupKeep, began map[string]time.Time, now time.Time) []string {
	scheduled := slices.DeleteFunc(slices.Clone(all), func(m backup.Manifest) bool { return !taskbackup.Scheduled(m.Name) })
	remove, _ := backup.Retain(scheduled, backup.Keep{Last: int(keep.Last), Daily: int(keep.Daily), Weekly: int(keep.Weekly)}, backup.Before(scheduled, began), now)
	return remove
}

// taken and sent are a task's result in a line.
func taken(r node.Result) string {
	var d taskbackup.Data
	if json.Unmarshal(r.Data, &d) != nil || d.Name == "" {
		return "" // Only the data got lost on its way, not the result.
	}
	return d.Content()
}

func sent(r node.Result) string {
	var d offsite.SendData
	if json.Unmarshal(r.Data, &d) != nil || len(d.Parts) == 0 {
		return "" // As above.
	}
	return report.Size((&backup.Manifest{Parts: d.Parts}).Size()) + ", encrypted"
}
