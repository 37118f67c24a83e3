package upgrade

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/feed"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Plan is what an upgrade would do, and what stands in its way.
type Plan struct {
	Cluster string `json:"cluster"`
	// Runs are the versions that run, the lowest first.
	Runs []string `json:"runs"`
	// Available are versions that it could be brought to, of those that are at hand.
	Available []string `json:"available,omitempty"`
	// Version is the one that it is brought to; empty when none was named and none is at hand.
	Version string `json:"version,omitempty"`
	// OK says that it would go.
	OK       bool               `json:"ok"`
	Nodes    []upgrade.NodePlan `json:"nodes"`
	Findings []upgrade.Finding  `json:"findings"`
	// Certificates are renewed before the first node's turn; nil when none is.
	Certificates *certs.Plan `json:"certificates,omitempty"`
	// Ignored are the checks whose findings do not stand in the way.
	Ignored []string `json:"-"`

	options Options
	// archs are the nodes' architectures.
	archs []string
	// renews says that Renew may have something to do.
	renews bool
	// rotating are the rotations of CAs that are not complete.
	rotating []upgrade.Finding
}

// Done tells whether nothing is left to be done.
func (p *Plan) Done() bool {
	return !slices.ContainsFunc(p.Nodes, func(n upgrade.NodePlan) bool { return n.Turn > 0 })
}

// Blocks tells whether a finding stands in the way, and is not to be ignored.
func (p *Plan) Blocks(f upgrade.Finding) bool {
	return len(upgrade.Blocking([]upgrade.Finding{f}, p.Ignored...)) > 0
}

// Err is nil when nothing stands in the way, else an action.Findings.
func (p *Plan) Err() error {
	n := len(upgrade.Blocking(p.Findings, p.Ignored...))
	if n == 0 {
		return nil
	}
	return action.As(action.Findings, fmt.Errorf("%s; nothing was changed", report.Plural(n, "blocking issue", "blocking issues")))
}

// PlanUpgrade looks at the cluster and judges; it changes nothing. While another upgrade is in progress it
// is refused, unless it is only looked at.
func PlanUpgrade(ctx context.Context, o Options, sink report.Sink) (*Plan, error) {
	has, err := o.contents()
	if err != nil {
		return nil, err
	}
	if o.Source, err = agents.Or(o.Source); err != nil {
		return nil, err
	}
	// Before all else: a cluster in the middle of an upgrade looks unwell.
	if !o.Look {
		if err := refuseSecond(ctx, o.Config); err != nil {
			return nil, err
		}
	}
	nodes, err := o.Clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, action.OfCluster(err)
	}
	p := &Plan{Cluster: o.Cluster.Metadata.Name, Nodes: []upgrade.NodePlan{}, Findings: []upgrade.Finding{}, Ignored: o.Spec.Ignore,
		options: o, archs: agents.ArchsOf(nodes.Items)}
	if o.Spec.Version == "" {
		if err := p.choose(ctx, sink); err != nil || p.OK {
			return p, err
		}
	}
	if err := p.judge(ctx, nodes.Items, has); err != nil {
		return nil, err
	}
	if o.Look || p.Err() != nil || p.Done() {
		return p, nil
	}
	// Before anybody is asked: without this program's agent for the nodes nothing is begun.
	_, err = o.Source.Agents(ctx, nodes.Items)
	return p, err
}

// choose takes the newest version at hand that the cluster can be brought to. The plan is OK when
// there is none: nothing is to be done.
func (p *Plan) choose(ctx context.Context, sink report.Sink) error {
	o := &p.options
	// What is at hand is a matter of the network; what runs is not.
	seen, err := upgrade.Observe(ctx, o.Clients, o.Cluster, upgrade.Look{})
	if err != nil {
		return action.OfCluster(err)
	}
	have := seen.Versions(o.Cluster)
	p.Runs = running(have)
	p.Available = upgrade.Allowed(atHand(ctx, o.Cluster.Spec.Images.Mirror, have, sink), have)
	if len(p.Available) == 0 {
		p.OK = true
		return nil
	}
	o.Spec.Version = p.Available[len(p.Available)-1]
	return nil
}

// judge says what stands in the way of the version, and what is done to which node.
func (p *Plan) judge(ctx context.Context, nodes []corev1.Node, has *bundle.Contents) error {
	o := &p.options
	wanted, err := wantedImages(o.Cluster, o.Spec.Version, p.archs, has)
	if err != nil {
		return err
	}
	if p.rotating, err = rotating(ctx, o.Clients.Kube); err != nil {
		return err
	}
	seen, err := upgrade.Observe(ctx, o.Clients, o.Cluster, upgrade.Look{Evictions: &o.Spec, Metrics: true, Images: wanted})
	if err != nil {
		return action.OfCluster(err)
	}
	p.Version, p.Runs = o.Spec.Version, running(seen.Versions(o.Cluster))
	p.check(seen)
	if slices.ContainsFunc(upgrade.Blocking(p.Findings, p.Ignored...), func(f upgrade.Finding) bool { return f.Check == upgrade.CheckSkew }) {
		return nil // There is no way to that version, so no order either.
	}
	if p.Nodes, err = upgrade.Nodes(o.Cluster, &o.Spec, seen); err != nil || !p.looksAtFiles() {
		return err
	}
	return p.certificates(ctx, seen)
}

// check sets the findings, and whether it would go.
func (p *Plan) check(seen upgrade.Observation) {
	p.Findings = append([]upgrade.Finding{}, p.rotating...)
	p.Findings = append(p.Findings, upgrade.Check(p.options.Cluster, &p.options.Spec, seen, time.Now())...)
	p.OK = len(upgrade.Blocking(p.Findings, p.Ignored...)) == 0
}

// wantedImages are those of the version: the bundle's, or those that kubeadm names. None
// of a version that nobody knows; whether that may be is for the rules to say. It is pure.
func wantedImages(c *v1alpha1.Cluster, version string, archs []string, has *bundle.Contents) ([]v1alpha1.PushedImage, error) {
	if has != nil {
		if len(archs) == 0 {
			return nil, nil
		}
		if c.Stacked() { // kubeadm would pull what it lacks, or fail.
			if err := has.CheckEtcd(c); err != nil {
				return nil, action.As(action.Invalid, err)
			}
		}
		return feed.Pushed(has.ForArch(archs[0]).Images), nil
	}
	out, err := upgrade.ImagesOf(c, version)
	return out, action.As(action.Invalid, err)
}

// atHand are versions that could be had: those of bundles in the cache, and what the mirror has.
// Who does not answer has none, and is warned of.
func atHand(ctx context.Context, mirror string, have upgrade.Versions, sink report.Sink) []string {
	out := bundles.Versions()
	for _, minor := range upgrade.NextMinors(have) {
		v, err := bundle.LatestKubernetes(ctx, mirror, minor)
		if err != nil {
			action.Warn(sink, "", "%v", err)
			continue
		}
		out = append(out, v)
	}
	return out
}

// onlyArch is the nodes' architecture. A bundle for several is not made without being asked for,
// since it is twice as large. It is pure.
func onlyArch(archs []string) (string, error) {
	if len(archs) > 1 {
		return "", action.Invalidf("the nodes are %s: create a bundle with `%s bundle create --arch %s`, and pass it with --bundle", strings.Join(archs, " and "), program.Name, strings.Join(archs, ","))
	}
	return strings.Join(archs, ""), nil
}

// running are the versions that run, each once, in order. It is pure.
func running(v upgrade.Versions) []string {
	out := []string{}
	for _, m := range []map[string]string{v.APIServers, v.Kubelets} {
		for _, one := range m {
			if !slices.Contains(out, one) {
				out = append(out, one)
			}
		}
	}
	slices.SortFunc(out, compareVersions)
	return out
}

// compareVersions puts the lower version first; what is none comes before all, by its text.
func compareVersions(a, b string) int {
	x, errX := apiversion.ParseSemantic(a)
	y, errY := apiversion.ParseSemantic(b)
	switch {
	case errX != nil && errY != nil:
		return strings.Compare(a, b)
	case errX != nil:
		return -1
	case errY != nil:
		return 1
	case x.LessThan(y):
		return -1
	case y.LessThan(x):
		return 1
	}
	return 0
}
