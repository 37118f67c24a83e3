package incluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// Operations are the verbs of Operations in one cluster.
type Operations struct {
	clients *client.Clients
	ops     *operations.Client
	agents  v1alpha1.Agents
}

// NewOperations makes the verbs for a cluster. The agents are needed by Create and
// Resume only: they are what the coordinator and the node Jobs run, and every node
// has its one's image in its image store.
func NewOperations(config *rest.Config, agents v1alpha1.Agents) (*Operations, error) {
	clients, err := client.New(config)
	if err != nil {
		return nil, err
	}
	return &Operations{clients: clients, ops: operations.New(clients.Dynamic), agents: agents}, nil
}

// List returns all Operations, the oldest first.
func (o *Operations) List(ctx context.Context) ([]v1alpha1.Operation, error) { return o.ops.List(ctx) }

// Heads is List without the steps that are kept in parts, for whoever asks for none.
func (o *Operations) Heads(ctx context.Context) ([]v1alpha1.Operation, error) {
	return o.ops.Heads(ctx)
}

// Get returns one Operation; the error of one that is not there is the API's NotFound.
func (o *Operations) Get(ctx context.Context, name string) (*v1alpha1.Operation, error) {
	return o.ops.Get(ctx, name)
}

// Hold keeps Operations from beginning while this machine itself is at work on hosts of the cluster;
// see operations.Client.Hold.
func (o *Operations) Hold(ctx context.Context, command, id string) (*operations.Hold, error) {
	return o.ops.Hold(ctx, o.clients.Kube, command, id)
}

// Create creates an Operation with a name made of its type, and starts its
// coordinator. While another Operation is unfinished it is refused, with an
// operations.BusyError. Of the finished ones the newest twenty are kept.
func (o *Operations) Create(ctx context.Context, spec v1alpha1.OperationSpec) (*v1alpha1.Operation, error) {
	return o.CreateWith(ctx, spec, nil)
}

// CreateWith is Create, with what hands over before anything carries the Operation
// out: it may make things that the Operation owns. When that fails there is no Operation.
func (o *Operations) CreateWith(ctx context.Context, spec v1alpha1.OperationSpec, handOver func(context.Context, *v1alpha1.Operation) error) (*v1alpha1.Operation, error) {
	cluster, err := StoredCluster(ctx, o.clients.Kube)
	if err != nil {
		return nil, err
	}
	if err := o.Refuse(ctx, nil); err != nil {
		return nil, err
	}
	name := strings.ToLower(string(spec.Type)) + "-" + rand.String(5)
	want := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	agents, err := o.agentsFor(ctx, spec)
	if err != nil {
		return nil, err
	}
	if err := want.SetAgents(agents); err != nil {
		return nil, err
	}
	op, err := o.createCurrent(ctx, cluster, want)
	if err != nil {
		return nil, err
	}
	// Nothing carries it out before it has the claim, so that of two created at
	// the same time one goes.
	if err := o.ops.Claim(ctx, o.clients.Kube, op.Name); err != nil {
		return nil, errors.Join(err, o.ops.Delete(ctx, op.Name))
	}
	if handOver != nil {
		if err := handOver(ctx, op); err != nil {
			return nil, errors.Join(err, o.ops.Delete(ctx, op.Name))
		}
	}
	if err := o.grant(ctx, op, cluster); err != nil {
		return op, err
	}
	if err := ensureCoordinator(ctx, o.clients.Kube, op, cluster, agents); err != nil {
		return op, err
	}
	// The new one is under way; what can't be removed now the next one removes.
	_ = o.prune(ctx)
	return op, nil
}

// knownWithin bounds the wait until the API servers know a resource as it was
// just installed.
const knownWithin = 20 * time.Second

// createCurrent creates an Operation; where an older kubectl-ha installed the
// resource, and it does not know the type or a field, this one's is installed first. A newer
// one's is left as it is: it knows all that this one does.
func (o *Operations) createCurrent(ctx context.Context, c *v1alpha1.Cluster, want *v1alpha1.Operation) (*v1alpha1.Operation, error) {
	parts, err := o.ops.KnowsParts(ctx)
	if err != nil {
		return nil, err
	}
	var op *v1alpha1.Operation
	if parts {
		op, err = o.ops.Create(ctx, want.DeepCopy())
		if !unknown(err) {
			return op, err
		}
	}
	changed, failed := install(ctx, o.clients, c)
	if failed != nil || parts && len(changed) == 0 {
		return nil, errors.Join(err, failed)
	}
	// On a cluster of several API servers each learns of it in its own time.
	waited := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, knownWithin, true, func(ctx context.Context) (bool, error) {
		if parts, err = o.ops.KnowsParts(ctx); err != nil || !parts {
			return false, nil //nolint:nilerr // the next look tells
		}
		op, err = o.ops.Create(ctx, want.DeepCopy())
		return !unknown(err), nil
	})
	if err == nil && waited != nil {
		err = fmt.Errorf("the API servers do not know the resources that were just installed: %w", waited)
	}
	return op, err
}

// unknown tells whether the resource that is installed may not know a type, or a field.
func unknown(err error) bool { return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) }

// keepFinished is how many finished Operations are kept, with their history.
const keepFinished = 20

// prune removes the oldest finished Operations, and with them their Jobs.
func (o *Operations) prune(ctx context.Context) error {
	all, err := o.ops.Heads(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, op := range operations.Surplus(all, keepFinished) {
		if err := o.ops.Delete(ctx, op.Name); err != nil && !apierrors.IsNotFound(err) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Pause stops an Operation before its next step. Running steps finish.
func (o *Operations) Pause(ctx context.Context, name string) error {
	_, err := o.ops.Modify(ctx, name, func(op *v1alpha1.Operation) error {
		if op.Status.Phase.Final() || op.Spec.Aborted {
			return fmt.Errorf("operation %s can't be paused: it is %s", name, phase(op))
		}
		op.Spec.Paused = true
		return nil
	})
	return err
}

// Resume carries a paused or failed Operation on: what failed is tried again.
// An unfinished one gets a coordinator again if it has none.
func (o *Operations) Resume(ctx context.Context, name string) error {
	op, err := o.ops.Get(ctx, name)
	if err != nil {
		return err
	}
	if op.Spec.Aborted || op.Status.Phase == v1alpha1.OperationSucceeded || op.Status.Phase == v1alpha1.OperationAborted {
		return fmt.Errorf("operation %s can't be resumed: it is %s", name, phase(op))
	}
	if err := o.refuseStale(ctx, op); err != nil {
		return err
	}
	cluster, err := StoredCluster(ctx, o.clients.Kube)
	if err != nil {
		return err
	}
	// Not refused for one that only waits for its turn, which may wait for this one.
	if err := o.ops.Claim(ctx, o.clients.Kube, name); err != nil {
		return err
	}
	if op, err = o.ops.Modify(ctx, name, func(op *v1alpha1.Operation) error {
		op.Spec.Paused = false
		return o.handOver(op)
	}); err != nil {
		return err
	}
	if op.Status.Phase == v1alpha1.OperationFailed {
		if err := endCoordinators(ctx, o.clients.Kube, name); err != nil {
			return err
		}
		if op, err = o.ops.ModifyStatus(ctx, name, func(op *v1alpha1.Operation) error {
			if op.Status.Phase == v1alpha1.OperationFailed {
				op.Status = operations.Retry(op.Status)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if err := o.grant(ctx, op, cluster); err != nil {
		return err
	}
	agents, err := o.agentsOf(op)
	if err != nil {
		return err
	}
	return ensureCoordinator(ctx, o.clients.Kube, op, cluster, agents)
}

// Abort ends an Operation: running steps finish, the clean-up steps run, nothing
// else starts. It can't be taken back. One that has failed has stopped and cleaned up for who
// goes on with it; that is done once more for who does not, and waits for other Operations: the
// error is a BusyError while there is one.
func (o *Operations) Abort(ctx context.Context, name string) error {
	if op, err := o.ops.Get(ctx, name); err != nil {
		return err
	} else if op.Status.Phase == v1alpha1.OperationFailed {
		if err := o.ops.Claim(ctx, o.clients.Kube, name); err != nil {
			return err
		}
	}
	op, err := o.ops.Modify(ctx, name, func(op *v1alpha1.Operation) error {
		if op.Status.Phase == v1alpha1.OperationSucceeded || op.Status.Phase == v1alpha1.OperationAborted {
			return fmt.Errorf("operation %s can't be aborted: it is %s", name, phase(op))
		}
		op.Spec.Aborted = true
		return nil
	})
	if err != nil {
		return err
	}
	cluster, err := StoredCluster(ctx, o.clients.Kube)
	if err != nil {
		return err
	}
	if op.Status.Phase == v1alpha1.OperationFailed {
		if err := endCoordinators(ctx, o.clients.Kube, name); err != nil {
			return err
		}
		if op, err = o.ops.ModifyStatus(ctx, name, func(op *v1alpha1.Operation) error {
			if op.Status.Phase == v1alpha1.OperationFailed {
				op.Status = operations.CleanAgain(op.Status)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if err := o.grant(ctx, op, cluster); err != nil {
		return err
	}
	agents, err := o.agentsOf(op)
	if err != nil {
		return err
	}
	return ensureCoordinator(ctx, o.clients.Kube, op, cluster, agents)
}

// Refuse returns a BusyError when an Operation is unfinished, in progress or waiting, but for those that
// pass (nil: none).
func (o *Operations) Refuse(ctx context.Context, passes func(v1alpha1.OperationSpec) bool) error {
	all, err := o.ops.Heads(ctx)
	if err != nil {
		return err
	}
	return operations.Refuse(all, passes)
}

func phase(op *v1alpha1.Operation) string {
	switch {
	case op.Status.Phase.Final():
		return string(op.Status.Phase)
	case op.Spec.Aborted:
		return "being aborted"
	case op.Status.Phase == "":
		return string(v1alpha1.OperationPending)
	default:
		return string(op.Status.Phase)
	}
}
