package backup

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/backups"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// scheduleOptions have backups made by a CronJob.
type scheduleOptions struct {
	genericiooptions.IOStreams
	access      *genericclioptions.ConfigFlags
	action      backups.ScheduleOptions
	credentials string
	output      cli.Output
	off, yes    bool
}

func newSchedule(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &scheduleOptions{IOStreams: streams, access: access}
	c := &cobra.Command{
		Use:   "schedule [--cron TIMES] [--to TARGET]",
		Short: "Let the cluster create backups by itself",
		Long: cli.Paragraphs(
			"Creates the CronJob "+schedule.Name+" in ha-system. Each run creates a backup by an Operation, as `backup create` does. Without --to, backups stay on the nodes, which does not help if the nodes are lost. With --to, they are encrypted to spec.backup.recipients of the Cluster document in the cluster, and sent.",
			"The --keep-… flags say which scheduled backups are kept: at the target, or without --to on each node. Backups with other names are never deleted. By default, everything is kept at a target, and the newest "+fmt.Sprint(schedule.DefaultKeep)+" on each node. The newest backup is never deleted, nor the last one from before an upgrade that is not finished.",
			"Credentials are read from the Secret of the target at each run. With --credentials, they are stored in the Secret "+schedule.TargetSecret+". Run the command again to change the schedule: flags that are left out have their defaults."),
		Example: cli.Examples(`
			# Daily; backups stay on the nodes
			kubectl ha backup schedule

			kubectl ha backup schedule --cron "0 */6 * * *" --to offsite --keep-last 4 --keep-daily 7
			kubectl ha backup status

			kubectl ha backup schedule --off`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.validate(c); err != nil {
				return err
			}
			return o.run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&o.action.Cron, "cron", schedule.DefaultCron, "the `times`, in cron syntax")
	f.StringVar(&o.action.To, "to", "", "the `target`: a name in spec.backup.targets, or a URL (s3://, sftp://, file://)")
	f.StringVar(&o.credentials, "credentials", "", "`file` with the credentials of the target (default the Secret of the target)")
	f.Int32Var(&o.action.Keep.Last, "keep-last", 0, "keep the newest `n`")
	f.Int32Var(&o.action.Keep.Daily, "keep-daily", 0, "keep the newest of each of the last `n` days that have one (UTC)")
	f.Int32Var(&o.action.Keep.Weekly, "keep-weekly", 0, "keep the newest of each of the last `n` weeks that have one (UTC)")
	f.BoolVar(&o.off, schedule.Off, false, "remove the schedule; backups are kept")
	cli.AddDryRun(f, &o.action.DryRun, "only show what would change")
	cli.AddYes(f, &o.yes, "")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line, then the result"})
	return c
}

func (o *scheduleOptions) validate(c *cobra.Command) error {
	for _, name := range []string{"cron", "to", "credentials", "keep-last", "keep-daily", "keep-weekly"} {
		if o.off && c.Flags().Changed(name) {
			return action.Invalidf("--off removes the schedule: --%s cannot be combined with it", name)
		}
	}
	if err := backups.CheckSchedule(o.action); err != nil {
		return err
	}
	if o.credentials != "" {
		if o.action.To == "" {
			return action.Invalidf("--credentials are of a target: name it with --to")
		}
		var err error
		if o.action.Credentials, err = cli.ReadFile(o.credentials, o.In); err != nil {
			return err
		}
	}
	if o.yes || o.action.DryRun {
		return nil
	}
	return cli.CheckPrompt(o.In, o.output.ForPrograms(), "what would change")
}

func (o *scheduleOptions) run(ctx context.Context) error {
	config, err := cli.RestConfig(o.access)
	if err != nil {
		return err
	}
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	defer cli.TellInterrupted(ctx, shown)()
	if !o.yes && !o.action.DryRun {
		if err := o.confirm(ctx, config); err != nil {
			return err
		}
	}
	done, err := o.carryOut(ctx, config, shown)
	shown.Close()
	if err = cli.Ended(ctx, err); err != nil {
		return err
	}
	if o.output.ForPrograms() {
		return o.output.PrintLine(o.Out, done)
	}
	_, err = fmt.Fprintln(o.Out, o.said(done))
	return err
}

func (o *scheduleOptions) carryOut(ctx context.Context, config *rest.Config, sink report.Sink) (backups.Scheduled, error) {
	if o.off {
		return backups.Unschedule(ctx, config, o.action.DryRun, sink)
	}
	return backups.Schedule(ctx, config, o.action, sink)
}

// confirm shows what would change, and asks.
func (o *scheduleOptions) confirm(ctx context.Context, config *rest.Config) error {
	plan := *o
	plan.action.DryRun = true
	would, err := plan.carryOut(ctx, config, report.Discard())
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(o.Out, plan.said(would)); err != nil {
		return err
	}
	question := "Create this schedule?"
	if o.off {
		question = "Remove the schedule?"
	}
	return cli.Confirm(ctx, o.In, o.Out, question)
}

// said is what was done, as kubectl says it of the CronJob and the Secret.
func (o *scheduleOptions) said(done backups.Scheduled) string {
	if o.off && !done.Changed && !done.SecretChanged {
		return "No backup is scheduled."
	}
	word := func(changed, there bool) string {
		text := "unchanged"
		switch {
		case changed && there:
			text = "configured"
		case changed:
			text = "deleted"
		}
		if o.action.DryRun {
			text += " (dry run)"
		}
		return text
	}
	lines := []string{"cronjob.batch/" + schedule.Name + " " + word(done.Changed, !o.off)}
	if done.SecretChanged || o.action.To != "" {
		lines = append(lines, "secret/"+schedule.TargetSecret+" "+word(done.SecretChanged, o.action.To != ""))
	}
	if o.off {
		return strings.Join(lines, "\n")
	}
	if s := done.Schedule; s != nil && s.Suspended {
		what, next := s.Problem(time.Now())
		return strings.Join(append(lines, what+": no backup is made", "next: "+next), "\n")
	}
	return strings.Join(append(lines, "The first backup is made at about "+done.Next.Local().Format("2006-01-02 15:04")+". "+where(o.action.Settings)), "\n")
}

// where says where scheduled backups are, and which of them stay.
func where(s schedule.Settings) string {
	kept := keeping(s.Keep)
	if s.To == "" {
		if kept == "" {
			kept = fmt.Sprintf("the newest %d", schedule.DefaultKeep)
		}
		return "Backups stay on the nodes; on each are kept: " + kept + ". If the nodes are lost, so are they: --to sends them elsewhere."
	}
	if kept == "" {
		kept = "all of them; --keep-last, --keep-daily and --keep-weekly limit that"
	}
	return "They are sent to " + s.To + ", encrypted. There are kept: " + kept + "."
}

// keeping says what stays; empty when nothing is said of it.
func keeping(k v1alpha1.BackupKeep) string {
	var parts []string
	if k.Last > 0 {
		parts = append(parts, fmt.Sprintf("the newest %d", k.Last))
	}
	if k.Daily > 0 {
		parts = append(parts, "the newest of each of "+report.Plural(int(k.Daily), "day", "days"))
	}
	if k.Weekly > 0 {
		parts = append(parts, "the newest of each of "+report.Plural(int(k.Weekly), "week", "weeks"))
	}
	return strings.Join(parts, ", ")
}
