package look

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/diagnose"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
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
}

// NewDoctor makes the command doctor.
func NewDoctor(streams genericiooptions.IOStreams) *cobra.Command {
	o := &doctorOptions{IOStreams: streams, access: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "doctor",
		Short:   "Check for known causes of cluster failures, and repair what is safe to repair",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Runs a check for each known cause of failure in highly available kubeadm clusters. Each finding says what is wrong, why it matters and how to repair it. It works on any kubeadm cluster, with stacked or external etcd. A short read-only task runs on each node to read files on the host. It is skipped with --quick, and if the nodes have no agent.",
			"--fix shows which findings it can repair, prompts, and repairs them in an Operation. Addon certificates are renewed by installing the addon again in the version of this program. A cluster that this program did not create must be adopted first (kubectl ha adopt).",
			fmt.Sprintf("The exit code is %d if there are problems, and 0 if there are only warnings.", cli.ExitFindings)),
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
	f.BoolVar(&o.fix, "fix", false, "repair what is safe to repair, after confirmation")
	f.BoolVar(&o.quick, "quick", false, "do not run tasks on the nodes")
	cli.AddDryRun(f, &o.dryRun, "with --fix: only show what would be repaired")
	o.Add(f, "with --fix: ", "start the Operation and return")
	cli.AddYes(f, &o.yes, "with --fix: ")
	f.StringVarP(&o.output, "output", "o", "", "text (default) or json")
	return c
}

// Validate refuses what contradicts itself.
func (o *doctorOptions) Validate() error {
	if !o.fix && (o.dryRun || o.Detach || o.yes || o.Timeout != 0) {
		return action.Invalidf("--dry-run, --wait, --detach, --timeout and --yes require --fix")
	}
	return cli.CheckOutput(o.output)
}

// Run looks, tells, and mends.
func (o *doctorOptions) Run(ctx context.Context) error {
	config, err := cli.RestConfig(o.access)
	if err != nil {
		return err
	}
	d, err := diagnose.Examine(ctx, diagnose.ExamineOptions{Config: config, Quick: o.quick})
	if err != nil {
		return err
	}
	if o.output == cli.OutputJSON {
		err = cli.WriteJSON(o.Out, d)
	} else {
		err = printDiagnosis(o.Out, cli.StyleFor(o.Out), d)
	}
	switch {
	case err != nil:
		return err
	case o.fix:
		return o.mend(ctx, d)
	case d.Sick():
		return action.As(action.Findings, cli.ErrSaid)
	}
	return nil
}

// mend shows what is mended, asks, and has the cluster do it.
func (o *doctorOptions) mend(ctx context.Context, d *diagnose.Diagnosis) error {
	m, err := diagnose.PlanMending(d)
	if err != nil {
		return err
	}
	text := "To be repaired: " + strings.Join(m.Names, ", ")
	if len(m.Names) == 0 {
		text = "None of these findings can be repaired automatically."
	}
	if _, err := fmt.Fprintln(o.ErrOut, text); err != nil || len(m.Names) == 0 {
		return err
	}
	if !o.yes && !o.dryRun {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, "Repair these?"); err != nil {
			return err
		}
	}
	if m.HasFixes() && !o.dryRun {
		// What comes after it waits for its end.
		waits := o.WaitFlags
		waits.Detach = o.Detach && !m.HasAddons()
		if err := cli.BeginAndWatch(ctx, o.IOStreams, m, o.output, waits); err != nil {
			return err
		}
	}
	if !m.HasAddons() {
		return nil
	}
	p, err := m.PlanRenewal(ctx, cli.StateDir)
	if err != nil {
		return err
	}
	if err := cli.PrintSteps(o.Out, o.output, p.Steps); err != nil || o.dryRun {
		return err
	}
	return cli.BeginAndWatch(ctx, o.IOStreams, p, o.output, o.WaitFlags)
}
