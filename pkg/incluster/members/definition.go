package members

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdcare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// lostAfter is for how long a node may be silent before its attempt counts as lost; a task
	// that is begun again finishes what was begun.
	lostAfter   = 2 * time.Minute
	lostRetries = 3
)

// Definition is the Etcd Operation.
func Definition() engine.Definition {
	steps := map[string]engine.Step{StepRecord: engine.Func{Do: record, Timeout: time.Minute}}
	for _, kind := range []string{StepWell, StepMay, StepGate, StepSettled, StepFit, StepBackup, StepLower, StepMember, StepApply} {
		steps[kind] = engine.NodeTask{Request: ask, LostRetries: lostRetries, LostAfter: lostAfter, Message: said(kind)}
	}
	return engine.Definition{
		Plan: func(_ context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			if outside := Outside(env.Cluster); len(outside) > 0 {
				return nil, fmt.Errorf("the members of %s are on hosts that are no nodes, where no Job gets\nnext: kubectl ha etcd with -f CLUSTER does the same over SSH", strings.Join(outside, ", "))
			}
			return Plan(env.Operation.Spec.Etcd, env.Cluster)
		},
		Steps: steps,
	}
}

// Outside are the hosts of members that are no nodes. It is pure.
func Outside(c *v1alpha1.Cluster) []string {
	var out []string
	for _, m := range c.EtcdMembers() {
		if !slices.ContainsFunc(c.Nodes(), func(n v1alpha1.Host) bool { return n.Name == m.Name }) {
			out = append(out, m.Name)
		}
	}
	return out
}

func ask(ctx context.Context, t engine.Turn) (node.Request, error) {
	if t.Operation.Spec.Etcd == nil {
		return node.Request{}, errors.New("the operation has no spec.etcd")
	}
	b := Backups{Name: t.Operation.Name}
	if strings.HasPrefix(t.Step.ID, StepBackup+"/") {
		all, err := operations.New(t.Clients.Dynamic).List(ctx)
		if err != nil {
			return node.Request{}, err
		}
		b.Protect = operations.FirstTries(all)
	}
	return Request(t.Step, t.Operation.Spec.Etcd, t.Cluster, b)
}

func record(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	versions := t.Operation.Spec.Etcd.Versions
	message, err := Record(ctx, t.Clients.Kube, versions[len(versions)-1])
	return engine.Outcome{Message: message}, err
}

// Record notes the version in the stored Cluster document, from which members that join later
// are made.
func Record(ctx context.Context, kube kubernetes.Interface, version string) (message string, err error) {
	changed, err := document.Change(ctx, kube, func(c *v1alpha1.Cluster) *v1alpha1.Cluster {
		if c.Spec.Etcd.Version == version {
			return nil
		}
		c.Spec.Etcd.Version = version
		return c
	})
	switch {
	case err != nil:
		return "", err
	case !changed:
		return "already up to date", nil
	}
	return "put etcd.version: " + version + " into your Cluster file as well", nil
}

// said is a task's result in a line.
func said(kind string) func(node.Result) string {
	return func(r node.Result) string { return Said(kind, r) }
}

// Said is what a step's task has found or done, in a line; empty when its data got lost on its way.
func Said(kind string, r node.Result) string {
	switch kind {
	case StepWell, StepMay, StepGate, StepSettled:
		var d etcdcare.GateData
		if json.Unmarshal(r.Data, &d) != nil || d.Revision == 0 {
			return ""
		}
		return fmt.Sprintf("all are well, with the same data at revision %d", d.Revision)
	case StepFit:
		var d etcdmember.FitData
		if json.Unmarshal(r.Data, &d) != nil || d.Installed == "" {
			return ""
		}
		return "has it; " + d.Installed + " is in place"
	case StepBackup:
		var d backup.Data
		if json.Unmarshal(r.Data, &d) != nil || d.Snapshot == nil {
			return ""
		}
		return fmt.Sprintf("a snapshot of revision %d, %s, read back", d.Snapshot.Revision, report.Size(d.Snapshot.Bytes))
	case StepMember:
		return moved(r)
	case StepApply:
		var d etcdmember.SettingsData
		if json.Unmarshal(r.Data, &d) != nil {
			return ""
		}
		if d.Restarted {
			return "restarted with them"
		}
		return "it has them"
	}
	return ""
}

func moved(r node.Result) string {
	var d etcdmember.UpgradeData
	switch {
	case json.Unmarshal(r.Data, &d) != nil:
		return ""
	case d.Already:
		return "it is there already"
	}
	text := "from " + d.From
	if d.Led {
		text += "; the leadership was moved away first"
	}
	if d.Resumed {
		text += ", going on from where an earlier run ended"
	}
	return text
}

// RecordArgs notes settings that were applied from a Cluster file in the stored document.
func RecordArgs(ctx context.Context, kube kubernetes.Interface, args map[string]string) error {
	_, err := document.Change(ctx, kube, func(c *v1alpha1.Cluster) *v1alpha1.Cluster {
		if maps.Equal(c.Spec.Etcd.ExtraArgs, args) {
			return nil
		}
		c.Spec.Etcd.ExtraArgs = maps.Clone(args)
		return c
	})
	return err
}
