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

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	checks "github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func newPlan(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &options{IOStreams: streams, access: access}
	o.Look = true
	c := &cobra.Command{
		Use:   "plan [VERSION]",
		Short: "Show the plan and the blocking issues of an upgrade",
		Long: cli.Paragraphs(
			"Shows for each node the current and the new version, its turn, and the impact. Lists all blocking issues together: version skew, nodes that are not ready, etcd problems, certificates about to expire, full disks, missing images, pods that cannot be evicted (tested with a dry run on all nodes to be drained), and requests to APIs that the new version no longer serves. Pods that would lose data in emptyDir volumes are listed. Nothing is changed.",
			"Without a version, it uses the newest available version that the cluster can be upgraded to. Available are the version of the bundle, those of bundles in the cache, and the newest release of each minor version on the mirror.",
			fmt.Sprintf("The exit code is %d if there are blocking issues.", cli.ExitFindings)),
		Example: cli.Examples(`
			kubectl ha upgrade plan
			kubectl ha upgrade plan ` + v1alpha1.DefaultKubernetesVersion + ` -o json`),
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.Complete(c.Context(), strings.Join(args, "")); err != nil {
				return err
			}
			_, err := o.plan(c.Context())
			return err
		},
	}
	o.addSpec(c)
	cli.AddOutput(c, &o.output, cli.Formats{})
	return c
}

// plan shows what would be done; the error says whether something stands in the way.
func (o *options) plan(ctx context.Context) (*upgrade.Plan, error) {
	shown := cli.NewProgress(o.ErrOut, cli.Output{})
	p, err := upgrade.PlanUpgrade(ctx, o.Options, shown)
	shown.Close()
	if err != nil {
		return nil, err
	}
	return p, errors.Join(o.show(p), p.Err())
}

// show prints the plan.
func (o *options) show(p *upgrade.Plan) error {
	if o.output.ForPrograms() {
		return o.output.PrintLine(o.Out, p)
	}
	var b strings.Builder
	switch {
	case p.Version == "":
		fmt.Fprintf(&b, "Cluster %s runs %s; no other version is available to upgrade to.\nSpecify one, or a bundle with --bundle.\n", p.Cluster, strings.Join(p.Runs, " and "))
	default:
		fmt.Fprintf(&b, "Cluster %s: %s to %s\n", p.Cluster, strings.Join(p.Runs, " and "), p.Version)
	}
	if len(p.Available) > 0 {
		fmt.Fprintf(&b, "Available: %s\n", strings.Join(p.Available, ", "))
	}
	if len(p.Nodes) > 0 {
		b.WriteString("\n")
		if err := printNodes(&b, p.Nodes); err != nil {
			return err
		}
	}
	if p.Certificates != nil {
		fmt.Fprintf(&b, "\nBefore that: %s\n", p.Certificates.Title())
	}
	if len(p.Findings) > 0 {
		b.WriteString("\n")
	}
	if err := cli.WriteTrimmed(o.Out, b.String()); err != nil {
		return err
	}
	if err := cli.PrintFindings(o.Out, cli.StyleFor(o.Out), findings(p.Findings, p.Blocks)); err != nil {
		return err
	}
	if p.Version != "" && p.OK && p.Done() {
		_, err := fmt.Fprintf(o.Out, "\nEvery node is at %s, nothing to do.\n", p.Version)
		return err
	}
	return nil
}

func printNodes(b *strings.Builder, nodes []checks.NodePlan) error {
	t := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	// Where workers come in groups there is a column for these.
	group := func(string) string { return "" }
	if slices.ContainsFunc(nodes, func(n checks.NodePlan) bool { return n.Group != "" }) {
		group = func(name string) string { return cmp.Or(name, "-") + "\t" }
	}
	// Into memory, which does not fail.
	_, _ = fmt.Fprintf(t, "TURN\tNODE\tROLE\t%sFROM\tTO\tDRAINED\tIMPACT\n", group("GROUP"))
	ordered := slices.Clone(nodes)
	slices.SortStableFunc(ordered, func(a, b checks.NodePlan) int { return cmp.Compare(turn(a), turn(b)) })
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
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s%s\t%s\t%s\t%s\n", when, n.Node, role, group(n.Group), n.From, to, drained, n.Disruption)
	}
	return t.Flush()
}

// turn sorts the nodes that stay as they are to the end.
func turn(n checks.NodePlan) int {
	if n.Turn == 0 {
		return int(^uint(0) >> 1)
	}
	return n.Turn
}

// findings are shown as they are everywhere.
func findings(all []checks.Finding, blocks func(checks.Finding) bool) []report.Finding {
	var out []report.Finding
	for _, f := range all {
		f.Blocks = blocks(f)
		out = append(out, f.Report())
	}
	return out
}
