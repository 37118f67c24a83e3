package rotateca

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	operation "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

const (
	// taskTimeout bounds a node's turn: a dozen certificates, each of which may take two minutes
	// to be seen at work, and programs that are restarted.
	taskTimeout = 15 * time.Minute
	lockTimeout = 5 * time.Minute
	gateTimeout = 5 * time.Minute
)

// Definition is the RotateAuthority Operation.
func Definition() engine.Definition {
	rotate := upgrade.Settled(engine.NodeTask{Request: request(tasks.RotateAuthority), Message: said})
	refresh := upgrade.Settled(engine.NodeTask{Request: request(tasks.RotationRefresh), Message: said})
	steps := map[string]engine.Step{
		stepWell:    engine.Func{Do: operation.Well, Timeout: gateTimeout, Gate: true},
		stepRotate:  turn{moved: upgrade.Elsewhere(rotate), stays: rotate},
		stepTrust:   rotate,
		stepRefresh: refresh,
		stepGate:    engine.Func{Do: operation.Well, Timeout: gateTimeout, Gate: true},
	}
	maps.Copy(steps, upgrade.TurnSteps())
	return engine.Definition{
		Plan: func(_ context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			return Plan(env.Operation.Spec.RotateAuthority, env.Cluster)
		},
		Steps: steps,
	}
}

// turn is a task on a control plane node or an etcd member. Only where the apiserver is
// restarted is the virtual IP moved away.
type turn struct {
	moved engine.Step
	stays engine.NodeTask
}

// Run runs the task.
func (s turn) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	p := planner{authority: certs.Authority(t.Operation.Spec.RotateAuthority.Authority)}
	if p.restarts() {
		return s.moved.Run(ctx, t)
	}
	return s.stays.Run(ctx, t)
}

// Retries is the task's.
func (s turn) Retries() int { return s.stays.Retries() }

// SecretName names the Secret with the encrypted keys that an Operation hands over.
func SecretName(operation string) string { return operation + "-keys" }

// HandOver puts keys that were encrypted for nodes, by their names, where the Operation's steps
// find them.
func HandOver(ctx context.Context, kube kubernetes.Interface, op *v1alpha1.Operation, sealed map[string][]byte) error {
	if len(sealed) == 0 {
		return nil
	}
	return operations.HandOver(ctx, kube, op, SecretName(op.Name), "the encrypted keys", sealed)
}

func request(task string) func(context.Context, engine.Turn) (node.Request, error) {
	return func(ctx context.Context, t engine.Turn) (node.Request, error) {
		spec := t.Operation.Spec.RotateAuthority
		one := certs.RotationSpec{Authority: certs.Authority(spec.Authority), Phase: certs.Phase(spec.Phase), From: []byte(spec.From), To: []byte(spec.To)}
		if spec.Validity != "" {
			var err error
			if one.Validity, err = time.ParseDuration(spec.Validity); err != nil {
				return node.Request{}, fmt.Errorf("the validity of certificates: %w", err)
			}
		}
		secret, err := t.Clients.Kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Get(ctx, SecretName(t.Operation.Name), metav1.GetOptions{})
		switch {
		case err == nil:
			one.SealedKey = secret.Data[t.Step.Node]
		case !apierrors.IsNotFound(err): // Without one no node lacks the key.
			return node.Request{}, fmt.Errorf("read the encrypted keys of this operation: %w", err)
		}
		r, err := node.NewRequest(task, taskTimeout, one)
		r.LockTimeout = lockTimeout
		return r, err
	}
}

// said is what was done on a node in a line.
func said(r node.Result) string {
	d, err := certs.DecodeRotation(r.Data)
	if err != nil {
		return "" // Only the data got lost on its way, not the result.
	}
	var parts []string
	if len(d.Reissued) > 0 {
		parts = append(parts, fmt.Sprintf("%d certificates in use", len(d.Reissued)))
	}
	if len(d.Restarted) > 0 {
		parts = append(parts, "restarted "+strings.Join(d.Restarted, ", "))
	}
	if len(d.Unseen) > 0 {
		parts = append(parts, fmt.Sprintf("%d could not be seen at work", len(d.Unseen)))
	}
	if len(parts) == 0 {
		return "nothing to change"
	}
	return strings.Join(parts, "; ")
}
