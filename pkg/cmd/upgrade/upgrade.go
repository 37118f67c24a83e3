package upgrade

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
)

// upgradeOptions bring a cluster to another version of Kubernetes.
type upgradeOptions struct {
	genericiooptions.IOStreams
	access *genericclioptions.ConfigFlags
	spec   v1alpha1.UpgradeSpec
	only   string
	drain  time.Duration
	file   string
	trust  bundles.Trust
	dryRun bool
	cli.WaitFlags
	yes    bool
	output string

	config  *rest.Config
	clients *client.Clients
	cluster *v1alpha1.Cluster
	bundle  *bundle.Bundle
}

func NewUpgrade(streams genericiooptions.IOStreams) *cobra.Command {
	o := &upgradeOptions{IOStreams: streams, access: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "upgrade VERSION",
		Short:   "Bring the cluster to another version of Kubernetes, node by node",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Shows what is done to which node in which order and what stands in the way, asks, brings images and programs to the nodes, and has the cluster itself do the rest: a backup, then one control plane after the other, the holder of the virtual IP last, then the workers. You may leave; operation watch, pause, resume and abort work at every step.",
			"It stops at the first node that fails: resume it once the cause is gone, put the node back with rollback-node, or abort."),
		Example: cli.Examples(`
			# What could be, and what would stand in the way
			kubectl ha upgrade plan

			kubectl ha upgrade ` + v1alpha1.DefaultKubernetesVersion + `
			kubectl ha upgrade ` + v1alpha1.DefaultKubernetesVersion + ` --bundle bundle.tar --max-unavailable 25%

			# The Operation as a manifest, to be committed and applied
			kubectl ha upgrade ` + v1alpha1.DefaultKubernetesVersion + ` -o yaml`),
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) == 1 && !looksLikeVersion(args[0]) {
				return cli.RunGroup(c, args)
			}
			if err := cli.OneArg("the version")(c, args); err != nil {
				return err
			}
			if err := o.Complete(c.Context(), args[0]); err != nil {
				return err
			}
			defer o.close()
			return o.Run(c.Context())
		},
	}
	cli.AddAccess(c, o.access)
	o.addSpec(c)
	f := c.Flags()
	cli.AddDryRun(f, &o.dryRun, "show the plan, and end")
	o.Add(f, "", "begin it, and leave")
	cli.AddYes(f, &o.yes, "")
	f.StringVarP(&o.output, "output", "o", "", "text (default), json: the plan, then an event per line; or yaml: the manifests, and nothing is done")
	c.AddCommand(newUpgradePlan(streams, o.access), newRollbackNode(streams, o.access))
	return c
}

// addSpec adds the flags that are about the upgrade itself.
func (o *upgradeOptions) addSpec(c *cobra.Command) {
	f := c.Flags()
	o.spec.DeleteEmptyDirData = new(bool)
	f.StringVar(&o.file, "bundle", "", "take images and programs from this bundle (`file`)")
	cli.AddTrustFlags(f, &o.trust, "bundle-")
	f.StringVar(&o.only, "only", "", "upgrade this `part` only: control-plane or nodes, which are the workers")
	f.StringVar(&o.spec.MaxUnavailable, "max-unavailable", v1alpha1.DefaultMaxUnavailable, "how many workers are out at the same time, a `number` or a percentage")
	f.DurationVar(&o.drain, "drain-timeout", v1alpha1.DefaultDrainTimeout, "how long the pods of one node may take to leave it")
	f.BoolVar(&o.spec.ForceDrain, "force-drain", false, "also evict pods that nothing makes again, and delete what has not left in time")
	f.BoolVar(o.spec.DeleteEmptyDirData, "delete-emptydir-data", true, "also evict pods with data in emptyDir volumes, which ends with them")
	f.BoolVar(&o.spec.DrainControlPlanes, "drain-control-planes", false, "drain the control planes too")
	f.Int32Var(&o.spec.KeepBackups, "keep-backups", v1alpha1.DefaultKeepBackups, "how many backups each node keeps")
	f.StringSliceVar(&o.spec.Ignore, "ignore", nil, "go on regardless of these `checks`: "+strings.Join(upgrade.Ignorable(), ", "))
	f.BoolVar(&o.spec.RemoveFeatureGates, "remove-feature-gates", false, "take feature gates that the version has no more out of the cluster's configuration")
}

// looksLikeVersion tells a version from the name of a verb.
func looksLikeVersion(arg string) bool {
	rest := strings.TrimPrefix(arg, "v")
	return rest != "" && rest[0] >= '0' && rest[0] <= '9'
}

// Complete connects and reads the bundle.
func (o *upgradeOptions) Complete(ctx context.Context, version string) error {
	if version != "" && !strings.HasPrefix(version, "v") {
		version = "v" + version
	}
	o.spec.Version, o.spec.Only, o.spec.DrainTimeout = version, v1alpha1.UpgradeScope(o.only), o.drain.String()
	if err := o.Validate(); err != nil {
		return err
	}
	var err error
	if o.config, o.clients, o.cluster, err = cli.StoredCluster(ctx, o.access); err != nil {
		return err
	}
	if o.file == "" {
		return nil
	}
	if o.bundle, err = o.trust.Open(o.file); err != nil {
		return err
	}
	if o.spec.Version == "" {
		o.spec.Version = o.bundle.Contents().KubernetesVersion
	}
	if has := o.bundle.Contents().KubernetesVersion; has != o.spec.Version {
		return errors.Join(action.Invalidf("%s is for Kubernetes %s, not %s", o.file, has, o.spec.Version), o.bundle.Close())
	}
	return nil
}

// Validate refuses what can't be.
func (o *upgradeOptions) Validate() error {
	if err := o.trust.Requires(o.file != "", "--bundle"); err != nil {
		return err
	}
	switch o.spec.Only {
	case v1alpha1.UpgradeAll, v1alpha1.UpgradeControlPlanes, v1alpha1.UpgradeNodes:
	default:
		return action.Invalidf("--only %s is not known; use control-plane or nodes", o.only)
	}
	if o.drain <= 0 {
		return action.Invalidf("--drain-timeout %s is no time at all", o.drain)
	}
	if o.spec.KeepBackups < 1 {
		return action.Invalidf("--keep-backups %d: one at least is kept", o.spec.KeepBackups)
	}
	if _, err := upgrade.Nodes(&v1alpha1.Cluster{}, &o.spec, upgrade.Observation{}); err != nil {
		return action.Invalidf("--max-unavailable: %w", err)
	}
	for _, check := range o.spec.Ignore {
		if !slices.Contains(upgrade.Ignorable(), check) {
			return action.Invalidf("--ignore %s: this can't be ignored; what can is %s", check, strings.Join(upgrade.Ignorable(), ", "))
		}
	}
	return cli.CheckOutput(o.output, cli.OutputYAML)
}

func (o *upgradeOptions) close() {
	if o.bundle != nil {
		_ = o.bundle.Close() // Only read.
	}
}

// Run shows the plan, asks, brings the content, and has the cluster do the rest.
func (o *upgradeOptions) Run(ctx context.Context) error {
	if o.output == cli.OutputYAML {
		return o.manifests(ctx)
	}
	ops, err := o.operations(ctx)
	if err != nil {
		return err
	}
	// Before the plan, in which a cluster in the middle of an upgrade looks unwell.
	if err := refuseSecond(ctx, ops); err != nil && !o.dryRun {
		return err
	}
	p, err := o.plan(ctx)
	if err != nil {
		return err
	}
	if err := o.show(p); err != nil {
		return err
	}
	if err := p.err(); err != nil || o.dryRun || p.done() {
		return err
	}
	if !o.yes {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, "Upgrade the cluster?"); err != nil {
			return err
		}
	}
	// The agent before the rest: an older one need only know how to bring an image.
	if ops, err = cli.ReadyOperations(ctx, o.IOStreams, o.config, o.cluster, o.output); err != nil {
		return err
	}
	if err := o.bring(ctx); err != nil {
		return err
	}
	op, err := ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &o.spec})
	if err != nil {
		return action.OfCluster(err)
	}
	return cli.WatchOrLeave(ctx, o.IOStreams, ops, op.Name, o.output, o.WaitFlags)
}

// operations are the verbs of Operations, to look; what creates one gives them the
// agent that readyOperations brings.
func (o *upgradeOptions) operations(ctx context.Context) (*incluster.Operations, error) {
	agents, err := agents.Usual(ctx, o.config)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	return incluster.NewOperations(o.config, agents)
}

// refuseSecond refuses a second upgrade before anything is sent for it.
func refuseSecond(ctx context.Context, ops *incluster.Operations) error {
	all, err := ops.List(ctx)
	if err != nil {
		return action.OfCluster(err)
	}
	for _, op := range all {
		if operations.Unfinished(op) && (op.Spec.Upgrade != nil || op.Spec.RollbackNode != nil) {
			return operations.Busy(&op)
		}
	}
	return nil
}
