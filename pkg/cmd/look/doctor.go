package look

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/doctor"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// doctorOptions look for what breaks clusters, and mend some of it.
type doctorOptions struct {
	genericiooptions.IOStreams
	access *genericclioptions.ConfigFlags
	output string
	fix    bool
	quick  bool
	yes    bool
	dryRun bool
	cli.WaitFlags
	config  *rest.Config
	cluster *v1alpha1.Cluster
	ours    bool
}

// diagnosis is what -o json prints.
type diagnosis struct {
	Cluster string             `json:"cluster"`
	Checks  []doctor.Result    `json:"checks"`
	Fixes   []v1alpha1.MendFix `json:"fixes"`
	// Addons are installed again by --fix.
	Addons []string `json:"addons,omitempty"`
	// Unseen says what could not be looked at.
	Unseen []string `json:"unseen,omitempty"`
}

func NewDoctor(streams genericiooptions.IOStreams) *cobra.Command {
	o := &doctorOptions{IOStreams: streams, access: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "doctor",
		Short:   "Look for what is known to break clusters, and mend what is safe to",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Runs a check for each known way in which highly available kubeadm clusters break, and says what was found, why that matters and how to mend it. It works on any kubeadm cluster, with stacked or external etcd. For what is in files on the hosts a short read-only task runs on each node; --quick leaves that out, and so does a cluster whose nodes have no agent.",
			"--fix shows which findings it would mend, asks, and has the cluster do it as an Operation; certificates of addons are made anew by installing those again, at this program's version. On a cluster that this program did not make, kubectl ha adopt comes before.",
			fmt.Sprintf("The exit code is %d when a problem was found; warnings alone are 0.", cli.ExitFindings)),
		Example: cli.Examples(`
			kubectl ha doctor
			kubectl ha doctor --quick -o json
			kubectl ha doctor --fix --dry-run
			kubectl ha doctor --fix`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	cli.AddAccess(c, o.access)
	f := c.Flags()
	f.BoolVar(&o.fix, "fix", false, "mend what is safe to, after showing it")
	f.BoolVar(&o.quick, "quick", false, "run nothing on the nodes")
	cli.AddDryRun(f, &o.dryRun, "with --fix: only show what would be done")
	o.Add(f, "with --fix: ", "begin it, and leave")
	cli.AddYes(f, &o.yes, "with --fix: ")
	f.StringVarP(&o.output, "output", "o", "", "text (default) or json")
	return c
}

// Validate refuses what contradicts itself.
func (o *doctorOptions) Validate() error {
	if !o.fix && (o.dryRun || o.Detach || o.yes || o.Timeout != 0) {
		return action.Invalidf("--dry-run, --wait, --detach, --timeout and --yes go with --fix")
	}
	return cli.CheckOutput(o.output)
}

// Run looks, tells, and mends.
func (o *doctorOptions) Run(ctx context.Context) error {
	d, err := o.examine(ctx)
	if err != nil {
		return err
	}
	if o.output == cli.OutputJSON {
		err = cli.WriteJSON(o.Out, d)
	} else {
		err = printDiagnosis(o.Out, cli.StyleFor(o.Out), d)
	}
	if err != nil {
		return err
	}
	if o.fix {
		return o.mend(ctx, d)
	}
	for _, c := range d.Checks {
		if c.State == doctor.Problem {
			return action.As(action.Findings, cli.ErrSaid)
		}
	}
	return nil
}

// examine looks at everything.
func (o *doctorOptions) examine(ctx context.Context) (*diagnosis, error) {
	var err error
	if o.config, err = cli.RestConfig(o.access); err != nil {
		return nil, err
	}
	clients, err := client.New(o.config)
	if err != nil {
		return nil, err
	}
	looker := status.New(o.config, nil)
	r, err := looker.Look(ctx)
	if err != nil {
		return nil, err
	}
	if r.API.Error != "" {
		return nil, action.As(action.Unreachable, fmt.Errorf("%s: %s; kubectl ha status -f FILE looks at each host", r.API.Asked, r.API.Error))
	}
	_, stored := incluster.StoredCluster(ctx, clients.Kube)
	in := doctor.Input{Cluster: looker.Cluster(), Ours: stored == nil}
	o.cluster, o.ours = in.Cluster, in.Ours
	if !o.quick && in.Ours {
		s := &statusOptions{IOStreams: o.IOStreams, access: o.access}
		if in.Inspection, err = inspectNodes(ctx, s, looker, &r, 0); err != nil {
			r.Unseen = append(r.Unseen, "the hosts' files: "+err.Error())
		}
		in.Inspection.Add(&r)
	}
	in.Report = r
	return diagnose(ctx, clients, in)
}

// diagnose reads what is left to be read, and runs all checks.
func diagnose(ctx context.Context, clients *client.Clients, in doctor.Input) (*diagnosis, error) {
	var err error
	if in.Objects, err = doctor.Observe(ctx, clients, in.Cluster); err != nil {
		return nil, err
	}
	results := doctor.Examine(in)
	d := &diagnosis{Cluster: in.Report.Cluster, Checks: results, Fixes: doctor.Fixes(results), Addons: doctor.Addons(results), Unseen: append(in.Report.Unseen, in.Objects.Missed()...)}
	if d.Fixes == nil {
		d.Fixes = []v1alpha1.MendFix{}
	}
	return d, nil
}

// mend has the cluster mend what was found.
func (o *doctorOptions) mend(ctx context.Context, d *diagnosis) error {
	switch {
	case len(d.Fixes)+len(d.Addons) == 0:
		_, err := fmt.Fprintln(o.ErrOut, "Nothing of this is mended by itself.")
		return err
	case !o.ours:
		return action.Invalidf("this cluster has no stored Cluster document: run `%s adopt` first", program.Name)
	}
	names := make([]string, 0, len(d.Fixes)+len(d.Addons))
	for _, f := range d.Fixes {
		names = append(names, string(f))
	}
	for _, a := range d.Addons {
		names = append(names, "the certificates of "+a)
	}
	if _, err := fmt.Fprintf(o.ErrOut, "To be mended: %s\n", strings.Join(names, ", ")); err != nil {
		return err
	}
	if o.dryRun {
		return o.renew(ctx, d.Addons)
	}
	if !o.yes {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, "Mend it?"); err != nil {
			return err
		}
	}
	if err := o.operate(ctx, d); err != nil {
		return err
	}
	return o.renew(ctx, d.Addons)
}

// renew installs addons again, which makes certificates anew that are near their end.
func (o *doctorOptions) renew(ctx context.Context, addons []string) error {
	if len(addons) == 0 {
		return nil
	}
	p, err := addon.PlanInstall(ctx, addon.InstallOptions{Config: o.config, Names: addons, StateDir: cli.StateDir})
	if err != nil {
		return err
	}
	if err := cli.PrintSteps(o.Out, o.output, p.Steps); err != nil || o.dryRun {
		return err
	}
	return cli.BeginAndWatch(ctx, o.IOStreams, p, o.output, o.WaitFlags)
}

// operate has the cluster carry out the fixes.
func (o *doctorOptions) operate(ctx context.Context, d *diagnosis) error {
	if len(d.Fixes) == 0 {
		return nil
	}
	ops, err := cli.ReadyOperations(ctx, o.IOStreams, o.config, o.cluster, o.output)
	if err != nil {
		return err
	}
	op, err := ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationMend, Mend: &v1alpha1.MendSpec{Fixes: d.Fixes}})
	if err != nil {
		return action.OfCluster(err)
	}
	// What comes after it waits for its end.
	waits := o.WaitFlags
	waits.Detach = o.Detach && len(d.Addons) == 0
	return cli.WatchOrLeave(ctx, o.IOStreams, ops, op.Name, o.output, waits)
}

// printDiagnosis prints a line a check, and below it what was found.
func printDiagnosis(w io.Writer, style report.Style, d *diagnosis) error {
	var b strings.Builder
	counts := map[doctor.State]int{}
	var skipped []string
	for _, c := range d.Checks {
		counts[c.State]++
		fmt.Fprintf(&b, "%s %s %s\n", stateMark(style, c.State), c.Title, style.Faint("("+c.ID+")"))
		for _, f := range c.Findings {
			where := ""
			if f.Node != "" {
				where = f.Node + ": "
			}
			indented(&b, "    ", where+f.Found)
			indented(&b, "      ", f.Mend)
		}
		if len(c.Findings) > 0 {
			indented(&b, "    ", fmt.Sprintf("Why: %s (%s)", c.Why, c.Source))
		}
		if c.Skipped != "" && !slices.Contains(skipped, c.Skipped) {
			skipped = append(skipped, c.Skipped)
		}
	}
	for _, u := range d.Unseen {
		indented(&b, "  ", "not seen: "+u)
	}
	fmt.Fprintf(&b, "\nCluster %s: %s, %s, %d in order", d.Cluster, report.Plural(counts[doctor.Problem], "problem", "problems"), report.Plural(counts[doctor.Warning], "warning", "warnings"), counts[doctor.OK])
	if n := counts[doctor.Skipped]; n > 0 {
		fmt.Fprintf(&b, ", %d not looked at:", n)
	}
	b.WriteString("\n")
	for _, why := range skipped {
		indented(&b, "  ", why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func stateMark(style report.Style, s doctor.State) string {
	switch s {
	case doctor.OK:
		return style.Mark(report.StepDone)
	case doctor.Warning:
		return style.Mark(report.Warning)
	case doctor.Problem:
		return style.Mark(report.StepFailed)
	}
	return style.Mark(report.StepSkipped)
}

func indented(b *strings.Builder, indent, text string) {
	for _, l := range cli.Wrap(text, cli.HelpWidth-len(indent)) {
		b.WriteString(indent + l + "\n")
	}
}
