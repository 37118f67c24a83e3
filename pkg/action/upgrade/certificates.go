package upgrade

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// looksAtFiles tells whether the nodes' files are worth a look, which takes a Job on each control
// plane: something is to be done, and nothing is in the way that a renewal can't take away. Whoever
// only looks starts Jobs only where a certificate that is seen at a port makes a difference.
func (p *Plan) looksAtFiles() bool {
	atPorts := slices.ContainsFunc(p.Findings, func(f upgrade.Finding) bool { return f.Check == upgrade.CheckCertificates })
	return (!p.options.Look || atPorts) && !p.Done() && len(upgrade.Blocking(p.Findings, append(slices.Clone(p.Ignored), upgrade.CheckCertificates)...)) == 0
}

func (p *Plan) renewal() certs.Options {
	o := p.options
	return certs.Options{Cluster: o.Cluster, Config: o.Config, StateDir: o.StateDir, Source: o.Source}
}

// rotating finds rotations of CAs that are not complete: kubeadm's upgrade writes certificates and
// manifests that know one CA only.
func rotating(ctx context.Context, kube kubernetes.Interface) ([]upgrade.Finding, error) {
	open, err := certs.Rotating(ctx, kube)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	var out []upgrade.Finding
	for _, a := range open {
		out = append(out, upgrade.Finding{Check: upgrade.CheckRotation, Blocks: true, Message: fmt.Sprintf("the rotation of %s is not complete", a),
			Hint: fmt.Sprintf("complete it with kubectl ha certs rotate-ca %s, or take it back with --undo", a)})
	}
	return out, nil
}

// certificates plans the renewal of those of which less than half of their life is left, and
// judges again what is left.
func (p *Plan) certificates(ctx context.Context, seen upgrade.Observation) error {
	due, err := certs.PlanBefore(ctx, p.renewal())
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	p.renewing(due, err, seen)
	return nil
}

// renewing takes up what is renewed before the upgrade, or why that is not known.
func (p *Plan) renewing(due certs.Plan, failed error, seen upgrade.Observation) {
	if failed != nil {
		// Whether what is seen at ports is in the way stands in the findings.
		p.Findings = append(p.Findings, upgrade.Finding{Check: upgrade.CheckCertificates, Message: fmt.Sprintf("whether certificates in files are due can't be told: %v", failed)})
		return
	}
	p.renews = due.Wanted()
	if !due.Empty() {
		p.Certificates = &due
	}
	seen.Ending = ending(due)
	p.check(seen)
	for _, host := range slices.Sorted(maps.Keys(due.Unseen)) {
		p.Findings = append(p.Findings, upgrade.Finding{Check: upgrade.CheckCertificates, Node: host, Message: "whether certificates in its files are due can't be told: " + due.Unseen[host]})
	}
}

// ending is a renewal's plan as the checks take it. It is pure.
func ending(due certs.Plan) []upgrade.Ending {
	var out []upgrade.Ending
	for _, n := range slices.Concat(due.Hosts, due.Nodes) {
		for _, name := range slices.Concat(n.Signed, n.Local) {
			out = append(out, upgrade.Ending{Node: n.Name, Name: name, Renewed: true})
		}
	}
	for _, e := range due.Unsigned {
		out = append(out, upgrade.Ending{Node: e.Host, Name: e.Name, NotAfter: e.NotAfter})
	}
	return out
}

// renew renews what is due. It looks again: what could not be looked at for the plan may be by now,
// with this program's agent.
func (p *Plan) renew(ctx context.Context, sink report.Sink) error {
	if !p.renews {
		return nil
	}
	if _, err := certs.Renew(ctx, p.renewal(), sink); err != nil {
		return fmt.Errorf("renew certificates before the upgrade: %w", err)
	}
	return nil
}
