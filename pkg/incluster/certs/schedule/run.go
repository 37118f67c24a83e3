package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/job"
)

const (
	// quietTimeout bounds the wait for another Operation to be finished, such as an upgrade.
	quietTimeout  = time.Hour
	quietInterval = 10 * time.Second
	// reachTimeout bounds the wait for the API, which may just have come back with the cluster.
	reachTimeout = 5 * time.Minute
	lookTimeout  = 2 * time.Minute
	// atOnce is on how many hosts a look runs at the same time.
	atOnce = 5
	// AnnotationScheduled is on Operations that a run has created.
	AnnotationScheduled = v1alpha1.Group + "/scheduled-by"
)

// Options are a run's.
type Options struct {
	// Agents run the tasks on the nodes; the first is the run's own.
	Agents v1alpha1.Agents
	// Life is how long what is renewed lives; zero as long as before. For tests.
	Life time.Duration
	// Identity is the pod's name.
	Identity string
	Sink     report.Sink
}

// run is one look, with what comes of it. Its parts are replaced in tests.
type run struct {
	Options
	clients *client.Clients
	cluster *v1alpha1.Cluster
	ops     *operations.Client
	// via runs tasks on nodes.
	via transport.Runner
	// coordinate carries an Operation out to its end.
	coordinate func(ctx context.Context, operation string) error
	// elsewhere looks at what is shown by members that are no nodes.
	elsewhere func(ctx context.Context, hosts []v1alpha1.Host) ([]certs.Elsewhere, map[string]string)
	// quiet bounds the wait for other Operations.
	quiet, interval time.Duration
}

// do goes on with what an earlier run has begun, waits for what others have, looks, tells of what
// it can't renew, and renews the rest. Its error is why the run has failed.
func (r *run) do(ctx context.Context) error {
	busy, err := r.settle(ctx)
	if err != nil {
		return err
	}
	hosts, away, err := r.hosts(ctx)
	if err != nil {
		return err
	}
	var nodes, strangers []v1alpha1.Host
	for _, h := range hosts {
		if slices.ContainsFunc(r.cluster.Nodes(), func(n v1alpha1.Host) bool { return n.Name == h.Name }) {
			nodes = append(nodes, h)
		} else {
			strangers = append(strangers, h)
		}
	}
	others, unseen := r.elsewhere(ctx, strangers)
	found, missed := r.look(ctx, nodes, others)
	maps.Copy(unseen, missed)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for _, h := range away {
		r.say(report.Warning, "%s is not ready, and was not looked at", h)
	}
	var failed []error
	for _, h := range slices.Sorted(maps.Keys(unseen)) {
		failed = append(failed, fmt.Errorf("%s could not be looked at: %s", h, unseen[h]))
	}
	failed = append(failed, r.tell(ctx, ending(found, others, time.Now())))
	due := plan(nodes, found, r.Life)
	switch {
	case len(due) == 0:
		r.say(report.Info, "no certificate is due that is signed on the nodes")
	case busy != nil:
		failed = append(failed, fmt.Errorf("the certificates of %s are due, and wait: %w", names(due), busy))
	default:
		failed = append(failed, r.renew(ctx, due))
	}
	return oneLine(errors.Join(failed...))
}

// oneLine keeps the pod's last line the whole reason.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.Join(strings.Split(err.Error(), "\n"), "; "))
}

func names(nodes []v1alpha1.NodeCertificates) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name+" ("+strings.Join(n.Local, ", ")+")")
	}
	return strings.Join(out, ", ")
}

func (r *run) say(kind report.Kind, format string, args ...any) {
	r.Sink.Emit(report.Event{Time: time.Now(), Kind: kind, Message: fmt.Sprintf(format, args...)})
}

// settle brings to its end what an earlier run has begun and was ended in, and waits until no
// other Operation is unfinished. busy says which one still is.
func (r *run) settle(ctx context.Context) (busy, err error) {
	for {
		left, busy, err := r.await(ctx)
		if left == "" || err != nil {
			return busy, err
		}
		r.say(report.Info, "going on with operation %s", left)
		if err := r.carryOut(ctx, left); err != nil {
			return nil, err
		}
	}
}

// await waits until no Operation is unfinished, or one of an earlier run is, which it names.
func (r *run) await(ctx context.Context) (left string, busy, err error) {
	waited := wait.PollUntilContextTimeout(ctx, r.interval, r.quiet, true, func(context.Context) (bool, error) {
		// Not by the wait's own end: the client's limit of requests refuses, with an error of its
		// own, what would be sent after that.
		looking, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		all, err := r.ops.List(looking)
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
		if mine(op) && !op.Spec.Paused {
			left, busy = op.Name, nil
			return true, nil
		}
		if busy == nil {
			r.say(report.Info, "waiting for operation %s (%s) to be finished", op.Name, op.Spec.Type)
		}
		busy = operations.Busy(&op)
		return false, nil
	})
	if wait.Interrupted(waited) && ctx.Err() == nil && busy != nil {
		return "", busy, nil
	}
	return left, nil, waited
}

// mine tells whether a run has created an Operation.
func mine(op v1alpha1.Operation) bool { return op.Annotations[AnnotationScheduled] == Name }

// hosts are those with certificates that are renewed: control planes and etcd members. away are
// nodes among them that are not ready.
func (r *run) hosts(ctx context.Context) (hosts []v1alpha1.Host, away []string, err error) {
	list, err := r.clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("list nodes: %w", err)
	}
	for _, h := range append(r.cluster.ControlPlanes(), r.cluster.EtcdMembers()...) {
		if slices.ContainsFunc(hosts, func(o v1alpha1.Host) bool { return o.Name == h.Name }) || slices.Contains(away, h.Name) {
			continue
		}
		at := slices.IndexFunc(list.Items, func(n corev1.Node) bool { return n.Name == h.Name })
		if at >= 0 {
			if c := ready.NodeCondition(&list.Items[at]); c == nil || c.Status != corev1.ConditionTrue {
				away = append(away, h.Name)
				continue
			}
		}
		hosts = append(hosts, h)
	}
	return hosts, away, nil
}

// look finds the certificates of nodes, and has each tell Prometheus of them.
func (r *run) look(ctx context.Context, nodes []v1alpha1.Host, others []certs.Elsewhere) (found map[string]certs.LookData, unseen map[string]string) {
	found, unseen = map[string]certs.LookData{}, map[string]string{}
	slots := make(chan struct{}, atOnce)
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, h := range nodes {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			data, err := r.lookAt(ctx, h, others)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				unseen[h.Name] = err.Error()
				return
			}
			found[h.Name] = data
		})
	}
	all.Wait()
	return found, unseen
}

func (r *run) lookAt(ctx context.Context, h v1alpha1.Host, others []certs.Elsewhere) (certs.LookData, error) {
	req, err := node.NewRequest(tasks.CertificateMetrics, lookTimeout, certs.MetricsSpec{Host: h.Name, Others: others})
	if err != nil {
		return certs.LookData{}, err
	}
	req.Cluster, req.Step = r.cluster.Metadata.Name, tasks.CertificateMetrics+"/"+h.Name
	res, err := r.via.Run(ctx, h.Name, req, report.Discard())
	switch {
	case err != nil:
		return certs.LookData{}, err
	case res.Failure != nil:
		return certs.LookData{}, errors.New(res.Failure.Message)
	}
	return certs.DecodeLook(res.Data)
}

// renew has an Operation renew what is due, on one node after the other. One of the same that has
// failed is gone on with, so that a failure of every day is one Operation.
func (r *run) renew(ctx context.Context, due []v1alpha1.NodeCertificates) error {
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationRenewCertificates, RenewCertificates: &v1alpha1.RenewCertificatesSpec{Nodes: due}}
	all, err := r.ops.List(ctx)
	if err != nil {
		return err
	}
	for _, op := range slices.Backward(all) {
		if !mine(op) {
			continue
		}
		if op.Status.Phase == v1alpha1.OperationFailed && reflect.DeepEqual(op.Spec.RenewCertificates, spec.RenewCertificates) {
			return r.again(ctx, op)
		}
		break
	}
	op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "renewcertificates-scheduled-" + rand.String(5), Annotations: map[string]string{AnnotationScheduled: Name}}, Spec: spec}
	if err := op.SetAgents(r.Agents); err != nil {
		return err
	}
	created, err := r.ops.Create(ctx, op)
	if err != nil {
		return err
	}
	r.say(report.Info, "operation %s renews the certificates of %s", created.Name, names(due))
	return r.carryOut(ctx, created.Name)
}

// again tries once more what has failed.
func (r *run) again(ctx context.Context, op v1alpha1.Operation) error {
	r.say(report.Info, "trying operation %s again", op.Name)
	if _, err := r.ops.Modify(ctx, op.Name, func(op *v1alpha1.Operation) error { return op.SetAgents(r.Agents) }); err != nil {
		return err
	}
	if _, err := r.ops.ModifyStatus(ctx, op.Name, func(op *v1alpha1.Operation) error {
		if op.Status.Phase == v1alpha1.OperationFailed {
			op.Status = operations.Retry(op.Status)
		}
		return nil
	}); err != nil {
		return err
	}
	return r.carryOut(ctx, op.Name)
}

// carryOut is this coordinator's part; its turn comes when no other Operation is in progress.
func (r *run) carryOut(ctx context.Context, operation string) error {
	if err := r.coordinate(ctx, operation); err != nil {
		return err
	}
	op, err := r.ops.Get(ctx, operation)
	if err != nil {
		return err
	}
	if op.Status.Phase != v1alpha1.OperationSucceeded {
		return fmt.Errorf("operation %s: %s: %s", op.Name, operations.Phase(*op), strings.Join(append(operations.Failures(op.Status), op.Status.Message), "; "))
	}
	r.say(report.Info, "operation %s has succeeded", op.Name)
	return nil
}

// jobs run tasks on nodes that belong to no Operation.
type jobs struct {
	clients *client.Clients
	agents  v1alpha1.Agents
	run     string
}

// Run runs one, and removes its Job.
func (j jobs) Run(ctx context.Context, host string, req node.Request, sink report.Sink) (node.Result, error) {
	name := engine.JobName(j.run, req.Task+"/"+host, 1)
	return job.Runner{Kube: j.clients.Kube, Name: name, Agents: j.agents, LostAfter: lookTimeout}.Once(ctx, host, req, sink)
}
