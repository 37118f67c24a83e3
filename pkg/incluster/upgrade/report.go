package upgrade

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
)

// sumUp says how long each node took.
func sumUp(_ context.Context, t engine.Turn) (engine.Outcome, error) {
	return engine.Outcome{Message: Report(t.Operation.Status.Steps)}, nil
}

// Report sums up which nodes have failed and at what, how long each was at its turn, and from how many
// pods left, in a line; of many nodes only the first ones. Waits between the turns do not count. It is
// pure.
func Report(steps []v1alpha1.StepStatus) string {
	took := map[string]time.Duration{}
	var order, failed []string
	for _, s := range steps {
		kind, node, ok := strings.Cut(s.ID, "/")
		if !ok || s.StartedAt == nil || s.FinishedAt == nil || s.Cleanup || kind == stepContent || kind == stepBackup || kind == stepWorkers {
			continue
		}
		if _, known := took[node]; !known {
			order = append(order, node)
		}
		took[node] += s.FinishedAt.Sub(s.StartedAt.Time)
		if s.State == v1alpha1.StepFailed {
			failed = append(failed, node+" ("+kind+")")
		}
	}
	if len(order) == 0 {
		return "nothing had to be done"
	}
	var out []string
	for _, n := range order[:min(len(order), mostTold)] {
		out = append(out, n+" "+took[n].Round(time.Second).String())
	}
	if rest := order[len(out):]; len(rest) > 0 {
		var all time.Duration
		for _, n := range rest {
			all += took[n]
		}
		out = append(out, fmt.Sprintf("and %d more, each %s on average", len(rest), (all/time.Duration(len(rest))).Round(time.Second)))
	}
	text := strings.Join(out, ", ")
	if len(failed) == 0 {
		return text
	}
	more := ""
	if n := len(failed) - mostTold; n > 0 {
		failed, more = failed[:mostTold], fmt.Sprintf(" and %d more", n)
	}
	return "failed: " + strings.Join(failed, ", ") + more + "; " + text
}

// record notes the version in the stored Cluster document, from which nodes that
// join later are made.
func record(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	version := t.Operation.Spec.Upgrade.Version
	changed, err := document.Change(ctx, t.Clients.Kube, func(c *v1alpha1.Cluster) *v1alpha1.Cluster {
		if c.Spec.KubernetesVersion == version {
			return nil
		}
		c.Spec.KubernetesVersion = version
		return c
	})
	if err != nil {
		return engine.Outcome{}, err
	}
	if !changed {
		return engine.Outcome{Message: "already up to date"}, nil
	}
	return engine.Outcome{Message: "put kubernetesVersion: " + version + " into your Cluster file as well"}, nil
}

// Touched names the node that a step has done something to which a rollback of
// that node would take back.
func Touched(s v1alpha1.StepStatus) (node string, ok bool) {
	kind, node, _ := strings.Cut(s.ID, "/")
	switch kind {
	case stepApply, stepControlPlane, stepKubelet, stepGate:
		return node, true
	}
	return "", false
}

// PutBack names the node that a RollbackNode has begun to put back, and when.
func PutBack(op v1alpha1.Operation) (node string, began *metav1.Time) {
	if op.Spec.RollbackNode == nil {
		return "", nil
	}
	for _, s := range op.Status.Steps {
		if s.ID == id(stepRollback, op.Spec.RollbackNode.Node) && s.Attempt > 0 && s.StartedAt != nil {
			return op.Spec.RollbackNode.Node, s.StartedAt
		}
	}
	return "", nil
}

// Backup is one that an Operation has made.
type Backup struct {
	// Name is the Operation's.
	Name string    `json:"name"`
	Node string    `json:"node"`
	Made time.Time `json:"made"`
	// What is in it, and where, in a line.
	What string `json:"what"`
}

// Backups are those that Operations have made and that their nodes still keep, the
// newest first: each Operation leaves as many on a node as it was told to, and counts scheduled
// ones apart from others. Of scheduled ones that stay by age all are named that are recorded. It is pure.
func Backups(all []v1alpha1.Operation) []Backup {
	type pool struct {
		node      string
		scheduled bool
	}
	var out []Backup
	kept, keep := map[pool]int{}, map[pool]int{}
	newest := slices.Clone(all)
	slices.SortStableFunc(newest, func(a, b v1alpha1.Operation) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	for _, op := range newest {
		many := keeps(op.Spec)
		if many == 0 {
			continue
		}
		for _, s := range op.Status.Steps {
			if kind, _, _ := strings.Cut(s.ID, "/"); kind != stepBackup || s.State != v1alpha1.StepSucceeded || s.FinishedAt == nil {
				continue
			}
			p := pool{s.Node, op.Spec.Backup != nil}
			if _, known := keep[p]; !known {
				keep[p] = many
			}
			if kept[p]++; kept[p] <= keep[p] {
				out = append(out, Backup{Name: op.Name, Node: s.Node, Made: s.FinishedAt.Time, What: s.Message})
			}
		}
	}
	return out
}

// keeps is how many backups an Operation leaves on a node; zero of one that makes none.
func keeps(spec v1alpha1.OperationSpec) int {
	switch {
	case spec.Upgrade != nil:
		return spec.Upgrade.Backups()
	case spec.Backup == nil:
		return 0
	case spec.Backup.TargetSecret != "" || spec.Backup.Keep == (v1alpha1.BackupKeep{}):
		return backup.DefaultKeep
	}
	return int(spec.Backup.Keep.Last + spec.Backup.Keep.Daily + spec.Backup.Keep.Weekly)
}
