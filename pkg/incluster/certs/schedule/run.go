package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Options are a run's.
type Options struct {
	schedule.Options
	// Life is how long what is renewed lives; zero as long as before. For tests.
	Life time.Duration
}

// run is one look, with what comes of it. Its parts are replaced in tests.
type run struct {
	*schedule.Run
	life time.Duration
	// elsewhere looks at what is shown by members that are no nodes.
	elsewhere func(ctx context.Context, hosts []v1alpha1.Host) ([]certs.Elsewhere, map[string]string)
}

// do goes on with what an earlier run has begun, waits for what others have, looks, tells of what
// it can't renew, and renews the rest. Its error is why the run has failed.
func (r *run) do(ctx context.Context) error {
	busy, err := r.Settle(ctx)
	if err != nil {
		return err
	}
	hosts, away, err := r.hosts(ctx)
	if err != nil {
		return err
	}
	var nodes, strangers []v1alpha1.Host
	for _, h := range hosts {
		if slices.ContainsFunc(r.Cluster.Nodes(), func(n v1alpha1.Host) bool { return n.Name == h.Name }) {
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
		r.Say(report.Warning, "%s is not ready, and was not looked at", h)
	}
	var failed []error
	for _, h := range slices.Sorted(maps.Keys(unseen)) {
		failed = append(failed, fmt.Errorf("%s could not be looked at: %s", h, unseen[h]))
	}
	failed = append(failed, r.tell(ctx, ending(found, others, time.Now())))
	due := plan(nodes, found, r.life)
	switch {
	case len(due) == 0:
		r.Say(report.Info, "no certificate is due that is signed on the nodes")
	case busy != nil:
		failed = append(failed, fmt.Errorf("the certificates of %s are due, and wait: %w", names(due), busy))
	default:
		failed = append(failed, r.renew(ctx, due))
	}
	return schedule.OneLine(errors.Join(failed...))
}

func names(nodes []v1alpha1.NodeCertificates) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name+" ("+strings.Join(n.Local, ", ")+")")
	}
	return strings.Join(out, ", ")
}

// hosts are those with certificates that are renewed: control planes and etcd members. away are
// nodes among them that are not ready.
func (r *run) hosts(ctx context.Context) (hosts []v1alpha1.Host, away []string, err error) {
	list, err := r.Clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("list nodes: %w", err)
	}
	for _, h := range r.Cluster.Keepers(r.Cluster.Spec.Hosts) {
		if ready.Away(list.Items, h.Name) {
			away = append(away, h.Name)
			continue
		}
		hosts = append(hosts, h)
	}
	return hosts, away, nil
}

// look finds the certificates of nodes, and has each tell Prometheus of them.
func (r *run) look(ctx context.Context, nodes []v1alpha1.Host, others []certs.Elsewhere) (found map[string]certs.LookData, unseen map[string]string) {
	found, failed := transport.Ask(nodes, func(h v1alpha1.Host) (certs.LookData, error) {
		raw, err := r.Ask(ctx, h, tasks.CertificateMetrics, certs.MetricsSpec{Host: h.Name, Others: others})
		if err != nil {
			return certs.LookData{}, err
		}
		return certs.DecodeLook(raw)
	})
	unseen = map[string]string{}
	for name, err := range failed {
		unseen[name] = err.Error()
	}
	return found, unseen
}

// renew has an Operation renew what is due, on one node after the other. One of the same that has
// failed is gone on with, so that a failure of every day is one Operation.
func (r *run) renew(ctx context.Context, due []v1alpha1.NodeCertificates) error {
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationRenewCertificates, RenewCertificates: &v1alpha1.RenewCertificatesSpec{Nodes: due}}
	all, err := r.Ops.List(ctx)
	if err != nil {
		return err
	}
	for _, op := range slices.Backward(all) {
		if !r.Mine(op) {
			continue
		}
		if op.Status.Phase == v1alpha1.OperationFailed && reflect.DeepEqual(op.Spec.RenewCertificates, spec.RenewCertificates) {
			return r.again(ctx, op)
		}
		break
	}
	created, err := r.Begin(ctx, "renewcertificates-scheduled-"+rand.String(5), spec)
	if err != nil {
		return err
	}
	r.Say(report.Info, "operation %s renews the certificates of %s", created.Name, names(due))
	return r.CarryOut(ctx, created.Name)
}

// again tries once more what has failed.
func (r *run) again(ctx context.Context, op v1alpha1.Operation) error {
	r.Say(report.Info, "trying operation %s again", op.Name)
	if _, err := r.Ops.Modify(ctx, op.Name, func(op *v1alpha1.Operation) error { return op.SetAgents(r.Agents) }); err != nil {
		return err
	}
	if _, err := r.Ops.ModifyStatus(ctx, op.Name, func(op *v1alpha1.Operation) error {
		if op.Status.Phase == v1alpha1.OperationFailed {
			op.Status = operations.Retry(op.Status)
		}
		return nil
	}); err != nil {
		return err
	}
	return r.CarryOut(ctx, op.Name)
}
