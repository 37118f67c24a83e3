package nodes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// checkCertificates is the check of findings about certificates.
const checkCertificates = "certificates"

// takesCertificates tells whether a host comes that gets a login to etcd from the control planes,
// which give none away in the second half of its life, or that becomes a member of etcd.
func (a *adding) takesCertificates() bool {
	if a.merged.Stacked() {
		return false // kubeadm signs for each host there, by the CA on it.
	}
	return slices.ContainsFunc(a.Names, func(name string) bool {
		h, _ := a.merged.Host(name)
		return h.Has(v1alpha1.RoleControlPlane) || h.Has(v1alpha1.RoleEtcd)
	})
}

// planRenewal adds to a plan, in whose way nothing stands, the renewal of certificates that are
// due. An Operation that is unfinished is taken up as it is: there is one at a time.
func (a *adding) planRenewal(ctx context.Context, p *operate.Plan) error {
	if p.Refused() != nil || !a.takesCertificates() {
		return nil
	}
	if unfinished, err := a.unfinished(ctx); err != nil || unfinished {
		return err
	}
	due, err := certs.PlanBefore(ctx, certs.Options{Cluster: a.before, Config: a.To.Config, StateDir: a.StateDir, Source: a.source})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		p.Findings = append(p.Findings, nodes.Finding{Check: checkCertificates, Message: fmt.Sprintf("whether certificates are due can't be told: %v", err)})
		return nil
	}
	a.renews = due.Wanted()
	addRenewal(p, due)
	return nil
}

// addRenewal puts a renewal first, and names what is due and stays as it is. It is pure.
func addRenewal(p *operate.Plan, due certs.Plan) {
	if !due.Empty() {
		p.Steps = append([]plan.Step{{ID: checkCertificates, Title: due.Title()}}, p.Steps...)
	}
	for _, e := range due.Unsigned {
		p.Findings = append(p.Findings, nodes.Finding{Node: e.Host, Check: checkCertificates,
			Message: fmt.Sprintf("less than half of the life of %s is left, until %s; a login to etcd is not given to others so", e.Name, e.NotAfter.UTC().Format(time.RFC3339)),
			Hint:    "renew it first, where the key of etcd's CA is: kubectl ha certs renew"})
	}
	for _, host := range slices.Sorted(maps.Keys(due.Unseen)) {
		p.Findings = append(p.Findings, nodes.Finding{Node: host, Check: checkCertificates, Message: "whether its certificates are due can't be told: " + due.Unseen[host]})
	}
}

// renew renews what is due, of the cluster as it is by now: of a replacement the old host may be out.
func (a *adding) renew(ctx context.Context, sink report.Sink) error {
	if !a.renews {
		return nil
	}
	if unfinished, err := a.unfinished(ctx); err != nil || unfinished {
		return err
	}
	if _, err := certs.Renew(ctx, certs.Options{Config: a.To.Config, StateDir: a.StateDir, Source: a.source}, sink); err != nil {
		return fmt.Errorf("renew certificates before hosts join: %w", err)
	}
	a.renews = false
	return nil
}

func (a *adding) unfinished(ctx context.Context) (bool, error) {
	err := a.To.RefuseOther(ctx)
	var busy *operations.BusyError
	if errors.As(err, &busy) {
		return true, nil
	}
	return false, err
}
