package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/feed"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// upgradePlan is what -o json prints, and what is shown.
type upgradePlan struct {
	Cluster string `json:"cluster"`
	// Runs are the versions that run, the lowest first.
	Runs []string `json:"runs"`
	// Available are versions that it could be brought to, of those that are at hand.
	Available []string `json:"available,omitempty"`
	Version   string   `json:"version,omitempty"`
	// OK says that it would go.
	OK       bool               `json:"ok"`
	Nodes    []upgrade.NodePlan `json:"nodes"`
	Findings []upgrade.Finding  `json:"findings"`

	blocking []upgrade.Finding
	ignored  []string
}

// done tells whether nothing is left to be done.
func (p *upgradePlan) done() bool {
	return !slices.ContainsFunc(p.Nodes, func(n upgrade.NodePlan) bool { return n.Turn > 0 })
}

// err is nil when nothing stands in the way.
func (p *upgradePlan) err() error {
	if len(p.blocking) == 0 {
		return nil
	}
	return action.As(action.Findings, fmt.Errorf("%s in the way; nothing was changed", report.Plural(len(p.blocking), "thing stands", "things stand")))
}

func newUpgradePlan(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &upgradeOptions{IOStreams: streams, access: access}
	c := &cobra.Command{
		Use:   "plan [VERSION]",
		Short: "Show what an upgrade would do to which node, and what stands in its way",
		Long: cli.Paragraphs(
			"Shows for each node from where to where it goes, when, and what is to be expected; and all that would stop the upgrade at once: versions that do not follow on each other, nodes that are not well, etcd, certificates near their end, full disks, missing images, pods that can't be evicted (which is tried on all nodes that will be drained, as a dry run), and requests to APIs that the version has no more. Pods that lose data in emptyDir volumes are named. Nothing is changed.",
			"Without a version: the newest of those at hand that the cluster can be brought to, which are the bundle's, those of bundles in the cache, and the newest of each minor version that the mirror has.",
			fmt.Sprintf("The exit code is %d when something stands in the way.", cli.ExitFindings)),
		Example: cli.Examples(`
			kubectl ha upgrade plan
			kubectl ha upgrade plan ` + v1alpha1.DefaultKubernetesVersion + ` -o json`),
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.CheckOutput(o.output); err != nil {
				return err
			}
			if err := o.Complete(c.Context(), strings.Join(args, "")); err != nil {
				return err
			}
			defer o.close()
			p, err := o.plan(c.Context())
			if err != nil {
				return err
			}
			return errors.Join(o.show(p), p.err())
		},
	}
	o.addSpec(c)
	c.Flags().StringVarP(&o.output, "output", "o", "", "text (default) or json")
	return c
}

// plan looks at the cluster and judges.
func (o *upgradeOptions) plan(ctx context.Context) (*upgradePlan, error) {
	nodes, err := o.clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, action.OfCluster(err)
	}
	p := &upgradePlan{Cluster: o.cluster.Metadata.Name, ignored: o.spec.Ignore, Nodes: []upgrade.NodePlan{}, Findings: []upgrade.Finding{}}
	if o.spec.Version == "" {
		// What is at hand is a matter of the network; what runs is not.
		seen, err := upgrade.Observe(ctx, o.clients, o.cluster, upgrade.Look{})
		if err != nil {
			return nil, action.OfCluster(err)
		}
		p.Runs = runs(seen, o.cluster)
		p.Available = upgrade.Allowed(o.atHand(ctx, seen), seen.Versions(o.cluster))
		if len(p.Available) == 0 {
			p.OK = true
			return p, nil
		}
		o.spec.Version = p.Available[len(p.Available)-1]
	}
	wanted, err := o.images(nodes.Items)
	if err != nil {
		return nil, err
	}
	seen, err := upgrade.Observe(ctx, o.clients, o.cluster, upgrade.Look{Evictions: &o.spec, Metrics: true, Images: wanted})
	if err != nil {
		return nil, action.OfCluster(err)
	}
	p.Version, p.Runs = o.spec.Version, runs(seen, o.cluster)
	p.Findings = append(p.Findings, upgrade.Check(o.cluster, &o.spec, seen, time.Now())...)
	p.blocking = upgrade.Blocking(p.Findings, o.spec.Ignore...)
	p.OK = len(p.blocking) == 0
	if slices.ContainsFunc(p.blocking, func(f upgrade.Finding) bool { return f.Check == upgrade.CheckSkew }) {
		return p, nil // There is no way to that version, so no order either.
	}
	p.Nodes, err = upgrade.Nodes(o.cluster, &o.spec, seen)
	return p, err
}

// images are those of the version: the bundle's, or those that kubeadm names. None
// of a version that nobody knows; whether that may be is for the rules to say.
func (o *upgradeOptions) images(nodes []corev1.Node) ([]v1alpha1.PushedImage, error) {
	if o.bundle != nil {
		var out []v1alpha1.PushedImage
		for _, arch := range agents.ArchsOf(nodes)[:min(1, len(nodes))] {
			out = feed.Pushed(o.bundle.Contents().ForArch(arch).Images)
		}
		return out, nil
	}
	out, err := upgrade.ImagesOf(o.cluster, o.spec.Version)
	if err != nil {
		return nil, action.As(action.Invalid, err)
	}
	return out, nil
}

// runs are the versions that run, each once, in order.
func runs(o upgrade.Observation, c *v1alpha1.Cluster) []string {
	v := o.Versions(c)
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

// show prints the plan.
func (o *upgradeOptions) show(p *upgradePlan) error {
	if o.output == cli.OutputJSON {
		return cli.WriteJSONLine(o.Out, p)
	}
	var b strings.Builder
	switch {
	case p.Version == "":
		fmt.Fprintf(&b, "Cluster %s runs %s; no other version is at hand that it can be brought to.\nName one, or a bundle with --bundle.\n", p.Cluster, strings.Join(p.Runs, " and "))
	default:
		fmt.Fprintf(&b, "Cluster %s: %s to %s\n", p.Cluster, strings.Join(p.Runs, " and "), p.Version)
	}
	if len(p.Available) > 0 {
		fmt.Fprintf(&b, "At hand: %s\n", strings.Join(p.Available, ", "))
	}
	if len(p.Nodes) > 0 {
		b.WriteString("\n")
		if err := printNodes(&b, p.Nodes); err != nil {
			return err
		}
	}
	if len(p.Findings) > 0 {
		b.WriteString("\n")
	}
	if err := cli.WriteTrimmed(o.Out, b.String()); err != nil {
		return err
	}
	if err := cli.PrintFindings(o.Out, cli.StyleFor(o.Out), findingsOf(p)); err != nil {
		return err
	}
	if p.Version != "" && p.OK && p.done() {
		_, err := fmt.Fprintf(o.Out, "\nEvery node is at %s, nothing is to be done.\n", p.Version)
		return err
	}
	return nil
}

func printNodes(b *strings.Builder, nodes []upgrade.NodePlan) error {
	t := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	// Into memory, which does not fail.
	_, _ = fmt.Fprintln(t, "TURN\tNODE\tROLE\tFROM\tTO\tDRAINED\tWHAT IS TO BE EXPECTED")
	ordered := slices.Clone(nodes)
	slices.SortStableFunc(ordered, func(a, b upgrade.NodePlan) int { return cmp.Compare(turn(a), turn(b)) })
	for _, n := range ordered {
		role, when, to, drained := "worker", "-", n.To, "no"
		if n.ControlPlane {
			role = "control plane"
		}
		if n.Turn > 0 {
			when = strconv.Itoa(n.Turn)
			if n.Drained {
				drained = "yes"
			}
		} else {
			to = "stays"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", when, n.Node, role, n.From, to, drained, n.Disruption)
	}
	return t.Flush()
}

// turn sorts the nodes that stay as they are to the end.
func turn(n upgrade.NodePlan) int {
	if n.Turn == 0 {
		return int(^uint(0) >> 1)
	}
	return n.Turn
}

// findingsOf are the findings as they are shown everywhere.
func findingsOf(p *upgradePlan) []bootstrap.Finding {
	var out []bootstrap.Finding
	for _, f := range p.Findings {
		one := bootstrap.Finding{Host: f.Node, Check: f.Check, Severity: bootstrap.Warning, Message: f.Message, Hint: f.Hint}
		if f.Blocks && !slices.Contains(p.ignored, f.Check) {
			one.Severity = bootstrap.Error
		}
		out = append(out, one)
	}
	return out
}
