package backups

import (
	"errors"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// The kinds of steps: the part of a step's ID before the slash.
const (
	StepBackup = "backup"
	stepSend   = "send"
	stepFinish = "finish"
	stepRetain = "retain"
)

// Plan is a backup of all nodes at the same time, and what is done with it. Nodes that are not
// Ready are passed over: a backup must not wait for a host that is lost. It is pure.
func Plan(spec *v1alpha1.BackupSpec, c *v1alpha1.Cluster, nodes []corev1.Node) ([]v1alpha1.StepStatus, error) {
	if spec == nil {
		return nil, errors.New("the operation has no spec.backup")
	}
	var steps []v1alpha1.StepStatus
	var made []string
	var there []v1alpha1.Host
	for _, h := range c.Keepers(c.Nodes()) {
		s := v1alpha1.StepStatus{ID: StepBackup + "/" + h.Name, Node: h.Name, Title: "back up " + h.Name, State: v1alpha1.StepPending}
		if ready.Away(nodes, h.Name) {
			s.State, s.Message = v1alpha1.StepSkipped, h.Name+" is not ready: the backup has nothing of its files"
		} else {
			there, made = append(there, h), append(made, s.ID)
		}
		steps = append(steps, s)
	}
	if len(there) == 0 {
		return nil, errors.New("no control plane or etcd member is a node that is ready")
	}
	if spec.TargetSecret == "" {
		return append(steps, v1alpha1.StepStatus{ID: stepFinish, Title: "note what was made", After: made, State: v1alpha1.StepPending}), nil
	}
	var sent []string
	for i, h := range there {
		s := v1alpha1.StepStatus{ID: stepSend + "/" + h.Name, Node: h.Name, Title: "send that of " + h.Name, After: []string{made[i]}, State: v1alpha1.StepPending}
		steps, sent = append(steps, s), append(sent, s.ID)
	}
	steps = append(steps, v1alpha1.StepStatus{ID: stepFinish, Title: "write the manifest", After: sent, State: v1alpha1.StepPending})
	if spec.Keep != (v1alpha1.BackupKeep{}) {
		steps = append(steps, v1alpha1.StepStatus{ID: stepRetain, Title: "remove the scheduled backups that are too many", After: []string{stepFinish}, State: v1alpha1.StepPending})
	}
	return steps, nil
}
