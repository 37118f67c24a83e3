package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

const (
	// quietTimeout bounds the wait for another Operation to be finished, such as an upgrade.
	quietTimeout  = time.Hour
	quietInterval = 10 * time.Second
	// reachTimeout bounds the wait for the API, which may just have come back with the cluster.
	reachTimeout = 5 * time.Minute
	// LookTimeout bounds a look at one host, and one at the Operations.
	LookTimeout = 2 * time.Minute
	// AnnotationScheduled is on Operations that a run has created: the CronJob's name.
	AnnotationScheduled = v1alpha1.Group + "/scheduled-by"
)

// Options are what the CronJob tells its pod.
type Options struct {
	// Agents run the tasks on the nodes; the first is the run's own.
	Agents v1alpha1.Agents
	// Identity is the pod's name.
	Identity string
	Sink     report.Sink
}

// Run is one run. It may be ended at any moment: who comes next goes on with what it has begun.
// Its parts are replaced in tests.
type Run struct {
	Kind
	Options
	Clients *client.Clients
	Cluster *v1alpha1.Cluster
	Ops     *operations.Client
	// Via runs tasks on nodes that belong to no Operation.
	Via transport.Runner
	// Coordinate carries an Operation out to its end.
	Coordinate func(ctx context.Context, operation string) error
	// Quiet bounds the wait for other Operations, which are looked at in intervals.
	Quiet, Interval time.Duration
}

// Start reaches the cluster from the CronJob's pod.
func (k Kind) Start(ctx context.Context, config *rest.Config, o Options) (*Run, error) {
	clients, err := client.New(config)
	if err != nil {
		return nil, err
	}
	if len(o.Agents) == 0 {
		return nil, fmt.Errorf("the schedule names no agents; %s writes it anew", k.SetUp)
	}
	var cluster *v1alpha1.Cluster
	waited := wait.PollUntilContextTimeout(ctx, time.Second, reachTimeout, true, func(ctx context.Context) (bool, error) {
		cluster, err = incluster.StoredCluster(ctx, clients.Kube)
		return err == nil, nil // Reading is repeated; the last error is reported below.
	})
	if waited != nil {
		return nil, OneLine(errors.Join(context.Cause(ctx), err))
	}
	return &Run{Kind: k, Options: o, Clients: clients, Cluster: cluster, Ops: operations.New(clients.Dynamic), Quiet: quietTimeout, Interval: quietInterval,
		Via: jobs{clients: clients, agents: o.Agents, run: o.Identity},
		Coordinate: func(ctx context.Context, operation string) error {
			return incluster.Coordinate(ctx, config, incluster.CoordinateOptions{Operation: operation, Identity: o.Identity, AgentImage: o.Agents.Image(), Sink: o.Sink})
		}}, nil
}

// OneLine keeps the pod's last line the whole reason.
func OneLine(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.Join(strings.Split(err.Error(), "\n"), "; "))
}

// Say writes a line of the run's log.
func (r *Run) Say(kind report.Kind, format string, args ...any) {
	r.Sink.Emit(report.Event{Time: time.Now(), Kind: kind, Message: fmt.Sprintf(format, args...)})
}

// Settle brings to its end what an earlier run has begun and was ended in, and waits until no
// other Operation is unfinished. busy says which one still is.
func (r *Run) Settle(ctx context.Context) (busy, err error) {
	for {
		left, busy, err := r.await(ctx)
		if left == "" || err != nil {
			return busy, err
		}
		r.Say(report.Info, "going on with operation %s", left)
		if err := r.CarryOut(ctx, left); err != nil {
			return nil, err
		}
	}
}

// await waits until no Operation is unfinished, or one of an earlier run is, which it names.
func (r *Run) await(ctx context.Context) (left string, busy, err error) {
	waited := wait.PollUntilContextTimeout(ctx, r.Interval, r.Quiet, true, func(context.Context) (bool, error) {
		// Not by the wait's own end: the client's limit of requests refuses, with an error of its
		// own, what would be sent after that.
		looking, cancel := context.WithTimeout(ctx, LookTimeout)
		defer cancel()
		all, err := r.Ops.Heads(looking)
		if operations.Unreachable(err) {
			busy = err
			return false, nil
		}
		if err != nil {
			return false, err
		}
		at := slices.IndexFunc(all, operations.Unfinished)
		if at < 0 {
			busy = nil
			return true, nil
		}
		op := all[at]
		if r.Mine(op) && !op.Spec.Paused {
			left, busy = op.Name, nil
			return true, nil
		}
		if busy == nil {
			r.Say(report.Info, "waiting for operation %s (%s) to be finished", op.Name, op.Spec.Type)
		}
		busy = operations.Busy(&op)
		return false, nil
	})
	if wait.Interrupted(waited) && ctx.Err() == nil && busy != nil {
		return "", busy, nil
	}
	return left, nil, waited
}

// Mine tells whether a run has created an Operation.
func (k Kind) Mine(op v1alpha1.Operation) bool { return op.Annotations[AnnotationScheduled] == k.Name }

// Begin creates an Operation of this run, which is not carried out yet.
func (r *Run) Begin(ctx context.Context, name string, spec v1alpha1.OperationSpec) (*v1alpha1.Operation, error) {
	op := &v1alpha1.Operation{Spec: spec}
	op.Name, op.Annotations = name, map[string]string{AnnotationScheduled: r.Name}
	if err := op.SetAgents(r.Agents); err != nil {
		return nil, err
	}
	return r.Ops.Create(ctx, op)
}

// CarryOut is this coordinator's part; its turn comes when no other Operation is in progress.
func (r *Run) CarryOut(ctx context.Context, operation string) error {
	if err := r.Coordinate(ctx, operation); err != nil {
		return err
	}
	op, err := r.Ops.Get(ctx, operation)
	if err != nil {
		return err
	}
	if op.Status.Phase != v1alpha1.OperationSucceeded {
		return fmt.Errorf("operation %s: %s: %s", op.Name, operations.Phase(*op), strings.Join(append(operations.Failures(op.Status), op.Status.Message), "; "))
	}
	r.Say(report.Info, "operation %s has succeeded", op.Name)
	return nil
}
