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
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
)

// doctorOptions look for what breaks clusters, and repair some of it.
type doctorOptions struct {
	genericiooptions.IOStreams
	access *genericclioptions.ConfigFlags
	output cli.Output
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
	cli.AddOutput(c, &o.output, cli.Formats{})
	return c
}

// Validate refuses what contradicts itself.
func (o *doctorOptions) Validate() error {
	if !o.fix && (o.dryRun || o.Detach || o.yes || o.Timeout != 0) {
		return action.Invalidf("--dry-run, --wait, --detach, --timeout and --yes require --fix")
	}
	return nil
}

// Run looks, tells, and repairs.
func (o *doctorOptions) Run(ctx context.Context) error {
	config, err := cli.RestConfig(o.access)
	if err != nil {
		return err
	}
	d, err := diagnose.Examine(ctx, diagnose.ExamineOptions{Config: config, Quick: o.quick})
	if err != nil {
		return err
	}
	if o.output.ForPrograms() {
		err = o.output.Print(o.Out, d)
	} else {
		err = printDiagnosis(o.Out, cli.StyleFor(o.Out), d)
	}
	switch {
	case err != nil:
		return err
	case o.fix:
		return o.repair(ctx, d)
	case d.Sick():
		return action.As(action.Findings, cli.ErrSaid)
	}
	return nil
}

// repair says what is repaired, and shows it.
func (o *doctorOptions) repair(ctx context.Context, d *diagnose.Diagnosis) error {
	r, err := diagnose.PlanRepair(d)
	if err != nil {
		return err
	}
	text := "To be repaired: " + strings.Join(r.Names, ", ")
	if len(r.Names) == 0 {
		text = "None of these findings can be repaired automatically."
	}
	if _, err := fmt.Fprintln(o.ErrOut, text); err != nil {
		return err
	}
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	return r.Run(ctx, diagnose.RepairOptions{DryRun: o.dryRun, StateDir: cli.StateDir,
		Confirm: func(ctx context.Context) error {
			if o.yes {
				return nil
			}
			shown.Close()
			defer shown.Open()
			return cli.Confirm(ctx, o.In, o.ErrOut, "Repair these?")
		},
		Steps: func(steps []v1alpha1.StepStatus) error {
			shown.Close()
			defer shown.Open()
			return cli.PrintSteps(o.Out, o.output, steps)
		},
		Watch: func(ctx context.Context, ops *incluster.Operations, name string, last bool) error {
			shown.Close()
			defer shown.Open()
			waits := o.WaitFlags
			waits.Detach = o.Detach && last
			return cli.WatchOrLeave(ctx, o.IOStreams, ops, name, o.output, waits)
		}}, shown)
}
