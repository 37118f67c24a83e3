package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdcare"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func newCheck(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &options{IOStreams: streams, access: access}
	c := &cobra.Command{
		Use:   "check",
		Short: "Compare the data of all members, to find corruption",
		Long: cli.Paragraphs(
			"Compares the hash of the data of all members at the same revision (HashKV), and names the member that differs. Each member reads its whole database, which takes seconds per GiB.",
			fmt.Sprintf("The exit code is %d if a member differs or could not be compared.", cli.ExitFindings)),
		Example: cli.Examples("kubectl ha etcd check"),
		Args:    cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.check(c.Context())
		},
	}
	o.addFlags(c, cli.Formats{})
	return c
}

func (o *options) check(ctx context.Context) error {
	return o.run(ctx, o.ErrOut, cli.Output{}, func(shown *cli.Progress) error {
		r, err := etcd.Check(ctx, o.action, shown)
		shown.Close()
		if err != nil {
			return err
		}
		if o.output.ForPrograms() {
			return errors.Join(o.output.Print(o.Out, r), r.Err())
		}
		var b strings.Builder
		var lines [][]string
		for _, h := range r.Members {
			verdict := "same"
			for _, d := range r.Differs {
				if d == h.Endpoint {
					verdict = "DIFFERS"
				}
			}
			if h.Error != "" {
				verdict = h.Error
			}
			lines = append(lines, []string{endpointHost(o.action.Cluster, h.Endpoint), fmt.Sprintf("%08x", h.Hash), strconv.FormatInt(h.Compacted, 10), verdict})
		}
		if err := table(&b, "HOST\tHASH\tCOMPACTED\tDATA", lines); err != nil {
			return err
		}
		fmt.Fprintf(&b, "\nCompared at revision %d.\n", r.Revision)
		return errors.Join(cli.WriteTrimmed(o.Out, b.String()), r.Err())
	})
}

func newAlarm(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &options{IOStreams: streams, access: access}
	usage, fix := false, false
	c := &cobra.Command{
		Use:   "alarm",
		Short: "List alarms, and resolve NOSPACE",
		Long: cli.Paragraphs(
			"With NOSPACE, a database has reached its quota and etcd refuses writes. The output lists which resources take the space. --fix compacts, defragments the members one at a time, and disarms the alarm, in this order, after a prompt. It needs -f, because the API cannot start Jobs without writes.",
			"CORRUPT is never disarmed: find the member with `etcd check` and replace it.",
			fmt.Sprintf("The exit code is %d if an alarm is raised.", cli.ExitFindings)),
		Example: cli.Examples(`
			kubectl ha etcd alarm

			# etcd is full
			kubectl ha etcd alarm --fix -f cluster.yaml`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if fix {
				if err := o.mayAsk(); err != nil {
					return err
				}
			}
			return o.alarm(c.Context(), usage, fix)
		},
	}
	o.addFlags(c, cli.Formats{})
	f := c.Flags()
	f.BoolVar(&usage, "usage", false, "list what takes the space even if no alarm is raised; this reads all keys")
	f.BoolVar(&fix, "fix", false, "resolve NOSPACE: compact, defragment, disarm")
	cli.AddYes(f, &o.yes, "")
	return c
}

func (o *options) alarm(ctx context.Context, usage, fix bool) error {
	return o.run(ctx, o.ErrOut, cli.Output{}, func(shown *cli.Progress) error {
		opts := etcd.AlarmOptions{Options: o.action, Usage: usage, Fix: fix}
		opts.Confirm = func(ctx context.Context, a etcd.Alarms) error {
			if o.yes {
				return nil
			}
			shown.Close()
			defer shown.Open()
			if err := printAlarms(o.ErrOut, a); err != nil {
				return err
			}
			return cli.Confirm(ctx, o.In, o.ErrOut, "Compact all old revisions, defragment the members one at a time, and disarm NOSPACE?")
		}
		r, err := etcd.Alarm(ctx, opts, shown)
		shown.Close()
		if err == nil {
			err = r.Err()
		}
		if o.output.ForPrograms() {
			return errors.Join(o.output.Print(o.Out, r), err)
		}
		if r.Freed != nil && err == nil {
			return printFreed(o.Out, r)
		}
		return errors.Join(printAlarms(o.Out, r.Alarms), err)
	})
}

func printAlarms(w io.Writer, a etcd.Alarms) error {
	var b strings.Builder
	if len(a.Raised) == 0 {
		b.WriteString("No alarm is raised.\n")
	}
	for _, r := range a.Raised {
		fmt.Fprintf(&b, "%s: %s\n", orDash(r.Host), r.Kind)
	}
	if len(a.Usage) > 0 {
		b.WriteString("\n")
		var lines [][]string
		for i, u := range a.Usage {
			if i == 15 {
				break
			}
			lines = append(lines, []string{u.Prefix, strconv.FormatInt(u.Keys, 10), report.Size(u.Bytes)})
		}
		if err := table(&b, "PREFIX\tKEYS\tSIZE", lines); err != nil {
			return err
		}
		if a.UsageCut {
			b.WriteString("Not all keys were read in time.\n")
		}
	}
	return cli.WriteTrimmed(w, b.String())
}

func printFreed(w io.Writer, r etcd.AlarmResult) error {
	var before, after int64
	for _, m := range r.Freed.Members {
		before, after = before+m.Before, after+m.After
	}
	_, err := fmt.Fprintf(w, "%s disarmed; the databases take %s instead of %s. Delete what is not needed, or raise quota-backend-bytes, before it fills up again.\n",
		report.Plural(r.Freed.Disarmed, "alarm was", "alarms were"), report.Size(after), report.Size(before))
	return err
}

func newDefrag(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &options{IOStreams: streams, access: access}
	threshold := "30%"
	c := &cobra.Command{
		Use:   "defrag",
		Short: "Defragment the members, one at a time and the leader last",
		Long: cli.Paragraphs(
			"A member serves no requests while it rewrites its database file. The members are defragmented one at a time, followers first; the leadership is moved before the last one. All members must be healthy before the next one starts. Members that would free less than --threshold of their file are skipped."),
		Example: cli.Examples(`
			kubectl ha etcd defrag --dry-run
			kubectl ha etcd defrag --threshold 10%`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			share, err := percentage(threshold)
			if err != nil {
				return err
			}
			if err := o.mayAsk(); err != nil {
				return err
			}
			return o.defrag(c.Context(), share)
		},
	}
	o.addFlags(c, cli.Formats{Documents: "one event per line, then the result"})
	f := c.Flags()
	f.StringVar(&threshold, "threshold", threshold, "minimum `percentage` of the file that a defragmentation must free")
	cli.AddDryRun(f, &o.dryRun, "only show the plan")
	cli.AddYes(f, &o.yes, "")
	return c
}

// percentage reads 30% or 30.
func percentage(text string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || n < 0 || n > 100 {
		return 0, action.Invalidf("--threshold %s: use a percentage from 0%% to 100%%", text)
	}
	return n / 100, nil
}

func (o *options) defrag(ctx context.Context, threshold float64) error {
	return o.run(ctx, o.ErrOut, o.output, func(shown *cli.Progress) error {
		opts := etcd.DefragOptions{Options: o.action, Threshold: threshold, DryRun: o.dryRun}
		opts.Confirm = func(ctx context.Context, p []etcd.DefragTurn) error {
			if o.yes {
				return nil
			}
			shown.Close()
			defer shown.Open()
			if err := printTurns(o.ErrOut, p); err != nil {
				return err
			}
			return cli.Confirm(ctx, o.In, o.ErrOut, "Defragment them?")
		}
		r, err := etcd.Defrag(ctx, opts, shown)
		shown.Close()
		switch {
		case o.output.ForPrograms():
			return errors.Join(o.output.PrintLine(o.Out, r), err)
		case err != nil:
			return err
		case len(r.Members) == 0:
			return printTurns(o.Out, r.Plan)
		}
		var b strings.Builder
		for _, m := range r.Members {
			name := endpointHost(o.action.Cluster, m.Endpoint)
			if m.Skipped != "" {
				fmt.Fprintf(&b, "%s: skipped, %s\n", name, m.Skipped)
				continue
			}
			fmt.Fprintf(&b, "%s: %s, was %s\n", name, report.Size(m.After), report.Size(m.Before))
		}
		return cli.WriteTrimmed(o.Out, b.String())
	})
}

func printTurns(w io.Writer, plan []etcd.DefragTurn) error {
	var b strings.Builder
	var lines [][]string
	turn := 0
	for _, t := range plan {
		when, note := "-", "skipped: would free too little"
		if !t.Skip {
			turn++
			when, note = strconv.Itoa(turn), ""
			if t.Leader {
				note = "leader: the leadership is moved first"
			}
		}
		lines = append(lines, []string{when, t.Host, report.Size(t.DBBytes), report.Size(t.FreeBytes), note})
	}
	if err := table(&b, "TURN\tHOST\tSIZE\tFREE\tNOTE", lines); err != nil {
		return err
	}
	return cli.WriteTrimmed(w, b.String())
}

func newCompact(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &options{IOStreams: streams, access: access}
	opts := etcd.CompactOptions{}
	c := &cobra.Command{
		Use:   "compact",
		Short: "Discard old revisions of all keys",
		Long: cli.Paragraphs(
			"Discards values that were overwritten or deleted before a revision. kube-apiserver does this every five minutes; run it only if that does not work, or before a defragmentation. The file does not shrink: that takes `etcd defrag`."),
		Example: cli.Examples(`
			kubectl ha etcd compact
			kubectl ha etcd compact --keep 0`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c.Context(), o.ErrOut, cli.Output{}, func(shown *cli.Progress) error {
				opts.Options = o.action
				r, err := etcd.Compact(c.Context(), opts, shown)
				shown.Close()
				switch {
				case err != nil:
					return err
				case o.output.ForPrograms():
					return o.output.Print(o.Out, r)
				case r.Revision == 0:
					_, err = fmt.Fprintf(o.Out, "Nothing to compact: there are %d revisions.\n", r.Newest)
				default:
					_, err = fmt.Fprintf(o.Out, "Compacted up to revision %d of %d.\n", r.Revision, r.Newest)
				}
				return err
			})
		},
	}
	o.addFlags(c, cli.Formats{})
	f := c.Flags()
	f.Int64Var(&opts.Revision, "revision", 0, "compact up to this `revision`")
	f.Int64Var(&opts.Keep, "keep", etcdcare.DefaultKeep, "without --revision: `number` of newest revisions to keep")
	return c
}
