package certs

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// PlanBefore is what Renew would do before something else begins, which shows it in a plan of its
// own: nothing is changed, and nobody is warned. What could not be looked at, or is not renewed, is
// in the plan.
func PlanBefore(ctx context.Context, o Options) (Plan, error) {
	o.DryRun = true
	r, err := Renew(ctx, o, report.Discard())
	return r.Plan, err
}

// Wanted tells whether Renew may have something to do: also when a node could not be looked at,
// whose agent may be an earlier one until this program's is brought.
func (p Plan) Wanted() bool { return !p.Empty() || len(p.Unseen) > 0 }

// Count is how many certificates are renewed.
func (p Plan) Count() int {
	n := len(p.Addons)
	for _, h := range slices.Concat(p.Hosts, p.Nodes) {
		n += len(h.Signed) + len(h.Local)
	}
	return n
}

// Title is the plan in a line, as the step of another plan: renew 3 certificates of cp1, cp2.
func (p Plan) Title() string {
	var of []string
	for _, h := range slices.Concat(p.Hosts, p.Nodes) {
		of = append(of, h.Name)
	}
	if len(p.Addons) > 0 {
		of = append(of, "addons")
	}
	return "renew " + report.Plural(p.Count(), "certificate", "certificates") + " of " + strings.Join(of, ", ")
}

// Renews tells whether a certificate of a host is renewed.
func (p Plan) Renews(host, name string) bool {
	return slices.ContainsFunc(slices.Concat(p.Hosts, p.Nodes), func(n v1alpha1.NodeCertificates) bool {
		return n.Name == host && (slices.Contains(n.Signed, name) || slices.Contains(n.Local, name))
	})
}

// notReady says of nodes that are not why: no Job begins there, and none is waited for.
func notReady(ctx context.Context, clients *client.Clients) (map[string]string, error) {
	nodes, err := clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, action.OfCluster(err)
	}
	out := map[string]string{}
	for _, n := range nodes.Items {
		if c := ready.NodeCondition(&n); c == nil || c.Status != corev1.ConditionTrue {
			out[n.Name] = "the node is not ready; once it is, kubectl ha certs renew"
		}
	}
	return out, nil
}
