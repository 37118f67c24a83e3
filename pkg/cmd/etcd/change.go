package etcd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// changeOptions change the members one by one.
type changeOptions struct {
	options
	cli.WaitFlags
	change etcd.ChangeOptions
	cancel bool
}

func newUpgrade(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &changeOptions{options: options{IOStreams: streams, access: access}}
	o.change.Change = v1alpha1.EtcdUpgrade
	c := &cobra.Command{
		Use:   "upgrade VERSION",
		Short: "Upgrade the etcd members, one at a time and the leader last",
		Long: cli.Paragraphs(
			"Shows the plan and all blocking issues, prompts, and pushes the binaries to the hosts. Then the members are upgraded one at a time, followers first; before the last one the leadership is moved. Before the first member, a snapshot is taken and verified. After each member, all members must be healthy and hold the same data, and all API servers must be ready; otherwise the upgrade stops. A member that fails is rolled back.",
			"etcd is upgraded one minor version at a time. To skip one, name a version of it with --via, and pass a bundle for each. Upstream requires 3.5.26 or later before 3.6, and 3.6.11 or later before 3.7.",
			"Run the same command again to resume."),
		Example: cli.Examples(`
			# Only show the plan and the blocking issues
			kubectl ha etcd upgrade v3.6.16 --dry-run

			kubectl ha etcd upgrade v3.6.16 --bundle bundle.tar

			# From 3.5 to 3.7, in two rounds
			kubectl ha etcd upgrade v3.7.3 --via v3.6.16

			# Dedicated etcd hosts, over SSH
			kubectl ha etcd upgrade v3.6.16 -f cluster.yaml`),
		Args: cli.OneArg("the version"),
		RunE: func(c *cobra.Command, args []string) error {
			o.change.Version = args[0]
			return o.Run(c.Context())
		},
	}
	o.addChangeFlags(c)
	o.addBundleFlags(c)
	c.Flags().StringSliceVar(&o.change.Via, "via", nil, "`version` of a minor version in between; can be repeated")
	return c
}

func newDowngrade(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &changeOptions{options: options{IOStreams: streams, access: access}}
	o.change.Change = v1alpha1.EtcdDowngrade
	c := &cobra.Command{
		Use:   "downgrade VERSION",
		Short: "Downgrade the etcd members by one minor version",
		Long: cli.Paragraphs(
			"Uses etcd's own downgrade, which exists from 3.6 on: first etcd switches its storage and protocol to the lower minor version, then the members are replaced one at a time, as in an upgrade.",
			"--cancel ends a downgrade that was started. Members that already run the lower version have to be upgraded again."),
		Example: cli.Examples(`
			kubectl ha etcd downgrade v3.6.16 --bundle bundle.tar
			kubectl ha etcd downgrade --cancel`),
		Args: func(c *cobra.Command, args []string) error {
			if o.cancel {
				return cli.NoArgs(c, args)
			}
			return cli.OneArg("the version")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if o.cancel {
				return o.cancelDowngrade(c.Context())
			}
			o.change.Version = args[0]
			return o.Run(c.Context())
		},
	}
	o.addChangeFlags(c)
	o.addBundleFlags(c)
	c.Flags().BoolVar(&o.cancel, "cancel", false, "end a downgrade that was started")
	return c
}

func newApply(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &changeOptions{options: options{IOStreams: streams, access: access}}
	o.change.Change = v1alpha1.EtcdApply
	c := &cobra.Command{
		Use:   "apply",
		Short: "Apply the etcd settings of the Cluster document, one member at a time",
		Long: cli.Paragraphs(
			"Writes spec.etcd.extraArgs of the Cluster document into the configuration of each member, and restarts the members whose configuration has changed, one at a time. A leader hands over its leadership first. If a member does not start with the new settings, its previous settings are restored.",
			"Without -f, the document stored in the cluster is applied; with -f, the Cluster file, over SSH."),
		Example: cli.Examples("kubectl ha etcd apply -f cluster.yaml"),
		Args:    cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.Run(c.Context())
		},
	}
	o.addChangeFlags(c)
	return c
}

func (o *changeOptions) addChangeFlags(c *cobra.Command) {
	o.addFlags(c, cli.Formats{Documents: "the plan, then one event per line"})
	f := c.Flags()
	cli.AddDryRun(f, &o.dryRun, "only show the plan")
	o.Add(f, "without -f: ", "start the Operation and return")
	cli.AddYes(f, &o.yes, "")
}

func (o *changeOptions) addBundleFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&o.change.Files, "bundle", nil, "take etcd from this bundle `file`; can be repeated, one for each version")
	cli.AddTrustFlags(f, &o.change.Trust, "bundle-")
	f.Int32Var(&o.change.KeepBackups, "keep-backups", v1alpha1.DefaultKeepBackups, "number of backups to keep on each host")
	f.BoolVar(&o.change.PushOnly, "push-only", false, "only push the binaries to the hosts")
}

// Run shows the plan, asks, and carries it out or has the cluster do so.
func (o *changeOptions) Run(ctx context.Context) error {
	if err := etcd.CheckChange(o.change); err != nil {
		return err
	}
	if err := o.mayAsk(); err != nil {
		return err
	}
	started := time.Now()
	return o.run(ctx, o.Out, o.output, func(shown *cli.Progress) error {
		o.change.Options = o.action
		p, err := etcd.PlanChange(ctx, o.change, shown)
		if err != nil {
			return err
		}
		shown.Close()
		if err := errors.Join(o.show(p), p.Err()); err != nil || p.Done || o.dryRun {
			return err
		}
		if !o.yes {
			if err := cli.Confirm(ctx, o.In, o.ErrOut, question(p)); err != nil {
				return err
			}
		}
		shown.Open()
		return o.carryOut(ctx, p, shown, started)
	})
}

func question(p *etcd.ChangePlan) string {
	switch p.Change {
	case v1alpha1.EtcdUpgrade:
		return "Upgrade etcd?"
	case v1alpha1.EtcdDowngrade:
		return "Downgrade etcd?"
	}
	return "Apply the settings, and restart the members that need it?"
}

// carryOut shows what is done, and of an Operation how it goes on.
func (o *changeOptions) carryOut(ctx context.Context, p *etcd.ChangePlan, shown *cli.Progress, started time.Time) error {
	begun, err := p.CarryOut(ctx, shown)
	shown.Close()
	switch {
	case err != nil:
		return err
	case begun != nil:
		return cli.WatchOrLeave(ctx, o.IOStreams, begun.Operations, begun.Name, o.output, o.WaitFlags)
	case o.output.ForPrograms():
		return nil
	}
	_, err = fmt.Fprintf(o.Out, "Done after %s.\n", report.Elapsed(time.Since(started)))
	return err
}

// show prints the plan.
func (o *changeOptions) show(p *etcd.ChangePlan) error {
	if o.output.ForPrograms() {
		return o.output.PrintLine(o.Out, p)
	}
	var b strings.Builder
	how := "by an Operation"
	if p.OverSSH {
		how = "over SSH"
	}
	switch {
	case p.Done:
		fmt.Fprintf(&b, "All members of %s are at %s, nothing to do.\n", p.Cluster, p.Versions[len(p.Versions)-1])
		return cli.WriteTrimmed(o.Out, b.String())
	case len(p.Versions) > 0:
		fmt.Fprintf(&b, "etcd of %s: to %s, %s\n\n", p.Cluster, strings.Join(p.Versions, ", then "), how)
	default:
		fmt.Fprintf(&b, "etcd of %s: apply the settings of the Cluster document, %s\n\n", p.Cluster, how)
	}
	var lines [][]string
	for _, m := range p.Members {
		note := ""
		if m.Leader {
			note = "leader: the leadership is moved first"
		}
		lines = append(lines, []string{strconv.Itoa(m.Turn), m.Host, m.From, m.To, note})
	}
	if err := table(&b, "TURN\tHOST\tFROM\tTO\tNOTE", lines); err != nil {
		return err
	}
	return cli.WriteTrimmed(o.Out, b.String())
}

func (o *changeOptions) cancelDowngrade(ctx context.Context) error {
	return o.run(ctx, o.ErrOut, cli.Output{}, func(shown *cli.Progress) error {
		if err := etcd.CancelDowngrade(ctx, o.action, shown); err != nil {
			return err
		}
		shown.Close()
		_, err := fmt.Fprintln(o.Out, "No downgrade is in progress any more.")
		return err
	})
}
