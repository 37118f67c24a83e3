package bootstrap

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// bootstrapOptions make a cluster.
type bootstrapOptions struct {
	genericiooptions.IOStreams
	file          string
	bundleFile    string
	trust         bundles.Trust
	output        string
	kubeconfigOut string
	hostKey       cli.HostKeyFlag
	dryRun        bool
	yes           bool
	timings       bool

	cluster  *v1alpha1.Cluster
	warnings []v1alpha1.FieldWarning
	image    string
	state    string
	supply   bundles.Supply
}

func NewBootstrap(streams genericiooptions.IOStreams) *cobra.Command {
	o := &bootstrapOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:     "bootstrap [-f FILE]",
		Short:   "Make a highly available cluster of bare hosts, or do what is left of that",
		GroupID: cli.GroupCluster,
		Long: cli.Paragraphs(
			"Logs in to all hosts, looks at them, shows what is to be done, and does it: programs and images, etcd with TLS, the virtual IP, the first control plane, the other nodes. Then the cluster takes over: a Join Operation promotes the other control planes from inside, and applies the network plugin. It ends with a kubeconfig that was tried.",
			"Run it again to resume: it looks at the hosts and does what is left. On a complete cluster it changes nothing. It never touches what it did not make.",
			"Without --bundle a bundle is made, or taken from your cache, on this machine; the hosts need no internet."),
		Example: cli.Examples(`
			# cluster.yaml in this directory
			kubectl ha bootstrap

			# Without the internet, without a question
			kubectl ha bootstrap -f cluster.yaml --bundle bundle.tar --yes

			# Only tell what would be done
			kubectl ha bootstrap -f cluster.yaml --dry-run

			# For a program: one JSON document per line
			kubectl ha bootstrap -f cluster.yaml --yes -o json`),
		Args: cli.NoArgs,
		RunE: cli.InOrder(o),
	}
	cli.AddFileFlag(c, &o.file)
	f := c.Flags()
	f.StringVar(&o.bundleFile, "bundle", "", "the bundle `file` with images and programs (default: made in your cache)")
	cli.AddTrustFlags(f, &o.trust, "bundle-")
	cli.AddDryRun(f, &o.dryRun, "look at the hosts, print the plan, change nothing")
	cli.AddYes(f, &o.yes, "")
	f.StringVarP(&o.output, "output", "o", "", "text (default), or json: an event per line")
	f.StringVar(&o.kubeconfigOut, "kubeconfig-out", "", "the `file` to write your kubeconfig to (default NAME.kubeconfig)")
	cli.AddHostKeyFlag(c, &o.hostKey)
	f.BoolVar(&o.timings, "timings", false, "print how long each step took at the end")
	return c
}

// Complete reads the Cluster file and finds out where things go.
func (o *bootstrapOptions) Complete() (err error) {
	if o.cluster, o.warnings, err = cli.FindCluster(&o.file, o.In); err != nil {
		return err
	}
	if o.image, err = agents.OwnImage(); err != nil {
		return err
	}
	if o.state, err = cli.StateDir(o.cluster); err != nil {
		return err
	}
	if o.kubeconfigOut == "" {
		o.kubeconfigOut = o.cluster.Metadata.Name + ".kubeconfig"
	}
	o.kubeconfigOut, err = filepath.Abs(bundles.ExpandHome(o.kubeconfigOut))
	return err
}

// Validate refuses what would fail later, before any host is looked at.
func (o *bootstrapOptions) Validate() error {
	if err := cli.CheckOutput(o.output); err != nil {
		return err
	}
	if _, interactive := cli.Terminal(o.In); !o.yes && !o.dryRun && (!interactive || o.output == cli.OutputJSON || o.file == "-") {
		return action.Invalidf("nobody can be asked whether to go on, since there is no terminal to ask on: add --yes, or --dry-run to see the plan")
	}
	if err := o.validateKubeconfig(); err != nil {
		return err
	}
	if err := o.trust.Requires(o.bundleFile != "", "--bundle"); err != nil || o.bundleFile == "" {
		return err
	}
	b, err := o.trust.Open(o.bundleFile)
	if err != nil {
		return err
	}
	o.supply.Bundle = b
	return action.As(action.Invalid, b.Contents().Check(o.cluster.Spec.KubernetesVersion, "", o.cluster.Spec.Network.Plugin))
}

func (o *bootstrapOptions) validateKubeconfig() error {
	if info, err := os.Stat(filepath.Dir(o.kubeconfigOut)); err != nil || !info.IsDir() {
		return action.Invalidf("the kubeconfig can't be written to %s: there is no such directory", o.kubeconfigOut)
	}
	_, err := kubeconfig.Load(o.kubeconfigOut, o.cluster.Metadata.Name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return action.Invalidf("the kubeconfig can't go to %w; choose another file with --kubeconfig-out", err)
}

// Run makes the cluster.
func (o *bootstrapOptions) Run(ctx context.Context) (err error) {
	defer o.supply.Close()
	started := time.Now()
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	recorder := &report.Recorder{}
	sink := report.Tee(shown, recorder)
	stop := context.AfterFunc(ctx, func() { sink.Emit(cli.Interrupted()) })
	defer stop()

	for _, w := range o.warnings {
		sink.Emit(report.Event{Kind: report.Warning, Message: w.String()})
	}
	hosts, err := cli.Connect(ctx, o.cluster, &o.hostKey, sink)
	if hosts == nil {
		return err
	}
	defer remote.Close(hosts, sink)
	looked := action.Begin(sink, "look", "look at the hosts")
	access := &issuedAccess{}
	config := bootstrap.Config{Cluster: o.cluster, Hosts: hosts, StateDir: o.state, AgentImage: o.image, AgentDigest: agents.Digest, DryRun: o.dryRun,
		Bundle:     o.supply.For(ctx, o.cluster, o.dryRun, sink, looked),
		Confirm:    func(ctx context.Context, p plan.Plan) error { return o.confirm(ctx, p, shown) },
		Join:       o.join(sink),
		Kubeconfig: o.writeKubeconfig(access),
	}
	result, err := bootstrap.Run(ctx, config, sink)
	looked("")
	shown.Close()
	if o.timings {
		if err := o.printTimings(result, recorder); err != nil {
			return err
		}
	}
	if err != nil {
		return cli.Explain(ctx, o.Out, o.output, result, err)
	}
	if o.dryRun {
		return o.printPlan(result.Plan)
	}
	return o.summary(result, access, time.Since(started))
}
