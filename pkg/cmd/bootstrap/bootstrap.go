// Package bootstrap is the commands that make a cluster: init, preflight and bootstrap.
package bootstrap

import (
	"context"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// options make a cluster.
type options struct {
	genericiooptions.IOStreams
	bootstrap.Options
	file    string
	output  cli.Output
	hostKey cli.HostKeyFlag
	yes     bool
	timings bool
}

// New is the command bootstrap.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams}
	c := &cobra.Command{
		Use:     "bootstrap [-f FILE]",
		Short:   "Create a highly available cluster on bare hosts; run it again to resume",
		GroupID: cli.GroupCluster,
		Long: cli.Paragraphs(
			"Logs in to all hosts, checks them, shows the plan, and carries it out: binaries and images, etcd with TLS, the virtual IP, the first control plane node, the other nodes. Then the cluster takes over: a Join Operation joins the other control plane nodes and applies the network plugin. Finally it writes a kubeconfig and tests it.",
			"Run it again to resume: it checks the hosts and completes the remaining steps. On a complete cluster it changes nothing. It never touches what it did not create.",
			"Without --bundle, it creates a bundle on this machine or takes it from your cache. The hosts need no internet access."),
		Example: cli.Examples(`
			# Use cluster.yaml in the current directory
			kubectl ha bootstrap

			# Without internet access and without a prompt
			kubectl ha bootstrap -f cluster.yaml --bundle bundle.tar --yes

			# Only show the plan
			kubectl ha bootstrap -f cluster.yaml --dry-run

			# For scripts: one JSON document per line
			kubectl ha bootstrap -f cluster.yaml --yes -o json`),
		Args: cli.NoArgs,
		RunE: cli.InOrder(o),
	}
	cli.AddFileFlag(c, &o.file)
	f := c.Flags()
	f.StringVar(&o.Bundle, "bundle", "", "bundle `file` with images and binaries (default: created in your cache)")
	cli.AddTrustFlags(f, &o.Trust, "bundle-")
	cli.AddDryRun(f, &o.DryRun, "check the hosts, show the plan, change nothing")
	cli.AddYes(f, &o.yes, "")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line"})
	f.StringVar(&o.Kubeconfig, "kubeconfig-out", "", "`file` to write your kubeconfig to (default NAME.kubeconfig)")
	cli.AddHostKeyFlag(c, &o.hostKey)
	f.BoolVar(&o.timings, "timings", false, "print how long each step took")
	return c
}

// Complete reads the Cluster file and finds out where things go.
func (o *options) Complete() (err error) {
	if o.Cluster, o.Warnings, err = cli.FindCluster(&o.file, o.In); err != nil {
		return err
	}
	if o.OwnCAs, err = cli.ReadOwnCAs(o.Cluster, o.file); err != nil {
		return err
	}
	if o.StateDir, err = cli.StateDir(o.Cluster); err != nil {
		return err
	}
	o.User = cli.CertificateUser()
	if o.Kubeconfig == "" {
		o.Kubeconfig = o.Cluster.Metadata.Name + ".kubeconfig"
	}
	o.Kubeconfig, err = filepath.Abs(bundles.ExpandHome(o.Kubeconfig))
	return err
}

// Validate refuses what would fail later, before any host is looked at.
func (o *options) Validate() error {
	if !o.yes && !o.DryRun {
		if err := cli.CheckPrompt(o.In, o.output.ForPrograms() || o.file == "-", "the plan"); err != nil {
			return err
		}
	}
	return bootstrap.Check(o.Options)
}

// Run makes the cluster.
func (o *options) Run(ctx context.Context) (err error) {
	if o.Login, err = o.hostKey.Login(); err != nil {
		return err
	}
	started := time.Now()
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	recorder := &report.Recorder{}
	sink := report.Tee(shown, recorder)
	stop := cli.TellInterrupted(ctx, sink)
	defer stop()

	o.Confirm = func(ctx context.Context, p plan.Plan) error { return o.confirm(ctx, p, shown) }
	result, err := bootstrap.Run(ctx, o.Options, sink)
	shown.Close()
	if o.timings {
		if err := o.printTimings(result, recorder); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return cli.Explain(ctx, o.Out, o.output, result.Result, err)
	case o.DryRun:
		return o.printPlan(result.Plan)
	}
	return o.summary(result, time.Since(started))
}

// confirm shows the plan and asks, unless --yes said so.
func (o *options) confirm(ctx context.Context, p plan.Plan, shown *cli.Progress) error {
	if o.output.ForPrograms() {
		return nil
	}
	shown.Close()
	defer shown.Open()
	if err := cli.PrintPlan(o.Out, cli.StyleFor(o.Out), o.Cluster, p); err != nil || o.yes {
		return err
	}
	return cli.Confirm(ctx, o.In, o.Out, "Go on?")
}
