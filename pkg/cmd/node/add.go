package node

import (
	balancer "github.com/kubectl-ha/kubectl-ha/pkg/action/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"

	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// nodeAddOptions add hosts.
type nodeAddOptions struct {
	operate.Options
	file       string
	bundleFile string
	trust      bundles.Trust
	hostKey    cli.HostKeyFlag
	print      bool
	enrolled   bool

	names []string
	given *v1alpha1.Cluster
	// merged is the stored document with the new hosts.
	merged *v1alpha1.Cluster
	image  string
	state  string
	supply bundles.Supply
}

func newNodeAdd(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &nodeAddOptions{Options: operate.Options{IOStreams: streams, Access: access}}
	c := &cobra.Command{
		Use:   "add HOST…",
		Short: "Make hosts of the Cluster file part of the cluster that runs",
		Long: cli.Paragraphs(
			"Put the hosts into the Cluster file first, with their roles. This command then logs in to these hosts alone, looks at them, and shows what is to be done: programs and images, an etcd member where the host gets one (first as a learner, then with a vote), keepalived on control planes, the kubelet. The cluster itself does the rest: it promotes control planes, and tells the others of them.",
			"Run it again to resume: it looks at the hosts and does what is left. How large the cluster is does not matter, but that each control plane's apiserver restarts when there is a new etcd member, one after the other and with the virtual IP elsewhere.",
			"For a host that can't be reached over SSH, --print writes a script that does there what is otherwise done over SSH. It holds a token that lives for twenty minutes, and for an etcd member its keys: treat it as a secret; a file that others may read is refused. Then --enrolled does the rest."),
		Example: cli.Examples(`
			kubectl ha node add w2 -f cluster.yaml
			kubectl ha node add cp4 cp5 -f cluster.yaml --bundle bundle.tar --yes

			# For a host that is reached by other means
			(umask 077; kubectl ha node add w3 -f cluster.yaml --print > add-w3.sh)
			kubectl ha node add w3 -f cluster.yaml --enrolled`),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return action.Invalidf("name the hosts to add, as they are called in the Cluster file: %s", c.UseLine())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.Complete(c.Context(), args); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	o.AddFlags(c)
	o.addHostFlags(c)
	f := c.Flags()
	f.BoolVar(&o.print, "print", false, "print a one-time script for a host that is reached by other means, and end")
	f.BoolVar(&o.enrolled, "enrolled", false, "the hosts have been enrolled: do the rest")
	f.StringVarP(&o.Output, "output", "o", "", "text (default), json: the plan, then an event per line; or yaml: the Operation's manifests, and nothing is done")
	return c
}

// addHostFlags adds the flags about the part over SSH.
func (o *nodeAddOptions) addHostFlags(c *cobra.Command) {
	cli.AddFileFlag(c, &o.file)
	c.Flags().StringVar(&o.bundleFile, "bundle", "", "the bundle `file` with images and programs (default: made in your cache)")
	cli.AddTrustFlags(c.Flags(), &o.trust, "bundle-")
	cli.AddHostKeyFlag(c, &o.hostKey)
}

// Complete reads the Cluster file and the stored document, and puts the hosts of the
// one into the other.
func (o *nodeAddOptions) Complete(ctx context.Context, names []string) error {
	o.names = slices.Compact(slices.Sorted(slices.Values(names)))
	if err := cli.CheckOutput(o.Output, cli.OutputYAML); err != nil {
		return err
	}
	if o.print && (o.enrolled || len(o.names) > 1) {
		return action.Invalidf("--print is for one host at a time, and not together with --enrolled")
	}
	if !o.print {
		if err := o.ValidateYes(); err != nil {
			return err
		}
	}
	if err := o.readFile(); err != nil {
		return err
	}
	if err := o.Connect(ctx); err != nil {
		return err
	}
	return o.merge()
}

// readFile reads the Cluster file, and finds out where things are.
func (o *nodeAddOptions) readFile() (err error) {
	if err := o.trust.Requires(o.bundleFile != "", "--bundle"); err != nil {
		return err
	}
	if o.given, _, err = cli.FindCluster(&o.file, o.In); err != nil {
		return err
	}
	if o.image, err = agents.OwnImage(); err != nil {
		return err
	}
	o.state, err = cli.StateDir(o.given)
	return err
}

// merge puts the hosts into the stored document. How to log in, and through which
// proxies, the file knows better: the stored one has no passwords.
func (o *nodeAddOptions) merge() error {
	if err := sameCluster(o.given, o.Stored); err != nil {
		return err
	}
	for _, name := range o.names {
		if _, ok := o.given.Host(name); !ok {
			return action.Invalidf("%s has no host %s: put it there first, with its address and roles", o.file, name)
		}
	}
	o.merged = nodes.With(o.Stored, o.given, o.names...)
	o.merged.Spec.SSH, o.merged.Spec.Proxy = o.given.Spec.SSH, o.given.Spec.Proxy
	if problems, _ := o.merged.Validate(); len(problems) > 0 {
		return action.As(action.Invalid, fmt.Errorf("the cluster with these hosts: %w", problems))
	}
	if o.bundleFile == "" {
		return nil
	}
	// A replacement merges twice, and has one bundle.
	if o.supply.Bundle == nil {
		b, err := o.trust.Open(o.bundleFile)
		if err != nil {
			return err
		}
		o.supply.Bundle = b
	}
	return action.As(action.Invalid, o.supply.Bundle.Contents().Check(o.merged.Spec.KubernetesVersion, "", o.merged.Spec.Network.Plugin))
}

// operation is what the cluster is asked for.
func (o *nodeAddOptions) operation() v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationAddNode, AddNode: &v1alpha1.AddNodeSpec{Nodes: o.names}}
}

// Run adds the hosts.
func (o *nodeAddOptions) Run(ctx context.Context) error {
	defer o.close()
	if o.Output == cli.OutputYAML {
		return o.Manifests(ctx, o.operation(), o.names[0], "The hosts must be enrolled, and in the stored Cluster document (configmap ha-system/cluster), before.")
	}
	if err := o.RefuseOther(ctx, o.operation()); err != nil {
		return err
	}
	p, err := o.plan(ctx, nil)
	if err != nil {
		return err
	}
	switch {
	case o.print:
		return o.printScript(ctx, p)
	case o.enrolled:
		if err := o.Show(o.merged, p); err != nil || o.DryRun {
			return err
		}
		if err := o.Ask(ctx, "Add them to the cluster?"); err != nil {
			return err
		}
		return o.inside(ctx, o.WaitFlags)
	}
	if err := o.outside(ctx, p, o.DryRun, func(ctx context.Context, ssh plan.Plan) error {
		p.Plan.Steps = append(ssh.Steps, p.Plan.Steps...)
		if err := o.Show(o.merged, p); err != nil || o.DryRun {
			return err
		}
		return o.Ask(ctx, "Go on?")
	}); err != nil || o.DryRun {
		return err
	}
	return o.inside(ctx, o.WaitFlags)
}

func (o *nodeAddOptions) close() {
	o.supply.Close()
}

// plan is the part inside. change, when not nil, makes what is seen into what will be
// seen by then.
func (o *nodeAddOptions) plan(ctx context.Context, change func(*nodes.Observation)) (*operate.Plan, error) {
	seen, err := nodes.Observe(ctx, o.Clients, o.merged, "")
	if err != nil {
		return nil, action.OfCluster(err)
	}
	if change != nil {
		change(&seen)
	}
	p := &operate.Plan{Cluster: o.merged.Metadata.Name, Findings: nodes.CheckAdd(o.merged, o.names, seen)}
	steps, err := nodes.PlanAdd(o.operation().AddNode, o.merged, seen)
	var refused *nodes.Refused
	if err != nil && !errors.As(err, &refused) {
		return nil, err
	}
	p.Inside(steps)
	return p, nil
}

// outside is the part over SSH: it looks at the hosts, asks, prepares and enrols them.
func (o *nodeAddOptions) outside(ctx context.Context, p *operate.Plan, dryRun bool, ask func(context.Context, plan.Plan) error) error {
	if bad := nodes.Blocking(p.Findings); len(bad) > 0 {
		p.Plan = plan.Plan{}
		return o.Show(o.merged, p)
	}
	shown := cli.NewProgress(o.Out, o.Output)
	defer shown.Close()
	var sink report.Sink = shown
	var only []v1alpha1.Host
	for _, name := range o.names {
		h, _ := o.merged.Host(name)
		only = append(only, h)
	}
	hosts, err := cli.Connect(ctx, o.merged, &o.hostKey, sink, only...)
	if hosts == nil {
		return err
	}
	defer remote.Close(hosts, sink)
	looked := action.Begin(sink, "look", "look at "+report.Plural(len(only), "host", "hosts"))
	config := bootstrap.AddConfig{Cluster: o.merged, Names: o.names, Hosts: hosts, StateDir: o.state, AgentImage: o.image, AgentDigest: agents.Digest, DryRun: dryRun,
		Bundle: o.supply.For(ctx, o.merged, dryRun, sink, looked), Discovery: discovery(o.Clients)}
	if ask != nil {
		config.Confirm = func(ctx context.Context, ssh plan.Plan) error {
			shown.Close()
			defer shown.Open()
			return ask(ctx, ssh)
		}
	}
	r, err := bootstrap.Add(ctx, config, sink)
	looked("")
	shown.Close()
	if err == nil {
		return nil
	}
	return cli.Explain(ctx, o.Out, o.Output, r, err)
}

// inside stores the document and has the cluster do the rest.
func (o *nodeAddOptions) inside(ctx context.Context, waits cli.WaitFlags) error {
	if _, err := incluster.Install(ctx, o.Config, o.merged); err != nil {
		return action.OfCluster(err)
	}
	shown := cli.NewProgress(o.Out, o.Output)
	err := balancer.BringTo(ctx, o.Config, o.Clients.Kube, o.merged, o.names, shown)
	shown.Close()
	if err != nil {
		return err
	}
	return o.Operate(ctx, nil, o.operation(), waits)
}
