// Package upgrade has the commands that bring a cluster to another version of Kubernetes.
package upgrade

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	checks "github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// options bring a cluster to another version of Kubernetes.
type options struct {
	genericiooptions.IOStreams
	access *genericclioptions.ConfigFlags
	upgrade.Options
	only   string
	drain  time.Duration
	dryRun bool
	cli.WaitFlags
	yes    bool
	output cli.Output
}

// New makes `kubectl ha upgrade`.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams, access: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "upgrade VERSION",
		Short:   "Upgrade the cluster to another version of Kubernetes, node by node",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Shows the plan and all blocking issues, prompts, renews certificates that are due, and pushes images and binaries to the nodes. Then an Operation upgrades the cluster: a backup, the control plane nodes one by one with the holder of the virtual IP last, then the workers. You can disconnect; operation watch, pause, resume and abort work at every step.",
			"It stops at the first node that fails. Resolve the cause and resume, roll the node back with rollback-node, or abort. With --max-failures, some workers may fail: they are left as they are, the others go on, and the Operation ends as failed. When more fail, it pauses; resume retries the failed workers first."),
		Example: cli.Examples(`
			# Show available versions and blocking issues
			kubectl ha upgrade plan

			kubectl ha upgrade ` + v1alpha1.DefaultKubernetesVersion + `
			kubectl ha upgrade ` + v1alpha1.DefaultKubernetesVersion + ` --bundle bundle.tar --max-unavailable 25%

			# One zone at a time, 10% of its workers at once; up to 1% of all workers may fail
			kubectl ha upgrade ` + v1alpha1.DefaultKubernetesVersion + ` --by topology.kubernetes.io/zone --max-unavailable 10% --max-failures 1%

			# Print the Operation as a manifest, to commit and apply
			kubectl ha upgrade ` + v1alpha1.DefaultKubernetesVersion + ` -o yaml`),
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) == 1 && !looksLikeVersion(args[0]) {
				return cli.RunGroup(c, args)
			}
			if err := cli.OneArg("the version")(c, args); err != nil {
				return err
			}
			o.Look = o.dryRun
			if err := o.Complete(c.Context(), args[0]); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	cli.AddAccess(c, o.access)
	o.addSpec(c)
	f := c.Flags()
	cli.AddDryRun(f, &o.dryRun, "only show the plan")
	o.Add(f, "", "start the Operation and return")
	cli.AddYes(f, &o.yes, "")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "the plan, then one event per line", Manifests: true})
	c.AddCommand(newPlan(streams, o.access), newRollback(streams, o.access))
	return c
}

// addSpec adds the flags that are about the upgrade itself.
func (o *options) addSpec(c *cobra.Command) {
	f := c.Flags()
	o.Spec.DeleteEmptyDirData = new(bool)
	f.StringVar(&o.File, "bundle", "", "take images and binaries from this bundle `file`")
	cli.AddTrustFlags(f, &o.Trust, "bundle-")
	f.StringVar(&o.only, "only", "", "upgrade only this `part`: control-plane or nodes (the workers)")
	f.StringVar(&o.Spec.MaxUnavailable, "max-unavailable", v1alpha1.DefaultMaxUnavailable, "maximum `number` or percentage of workers that are out at the same time: being upgraded, failed, or not ready")
	f.StringVar(&o.Spec.MaxFailures, "max-failures", v1alpha1.DefaultMaxFailures, "maximum `number` or percentage of workers that may fail; after more the upgrade pauses. With 0 it stops at the first one")
	f.StringVar(&o.Spec.By, "by", "", "upgrade the workers group by group, by the values of this node `label`, such as topology.kubernetes.io/zone; --max-unavailable applies within a group")
	f.DurationVar(&o.drain, "drain-timeout", v1alpha1.DefaultDrainTimeout, "maximum time to drain one node")
	f.BoolVar(&o.Spec.ForceDrain, "force-drain", false, "also evict pods without a controller, and delete pods that are still there after --drain-timeout")
	f.BoolVar(o.Spec.DeleteEmptyDirData, "delete-emptydir-data", true, "also evict pods that use emptyDir volumes; their data is deleted")
	f.BoolVar(&o.Spec.DrainControlPlanes, "drain-control-planes", false, "also drain control plane nodes")
	f.Int32Var(&o.Spec.KeepBackups, "keep-backups", v1alpha1.DefaultKeepBackups, "number of backups to keep on each node")
	f.StringSliceVar(&o.Spec.Ignore, "ignore", nil, "ignore these `checks`: "+strings.Join(checks.Ignorable(), ", "))
	f.BoolVar(&o.Spec.RemoveFeatureGates, "remove-feature-gates", false, "remove feature gates that the new version no longer has from the cluster configuration")
}

// looksLikeVersion tells a version from the name of a verb.
func looksLikeVersion(arg string) bool {
	rest := strings.TrimPrefix(arg, "v")
	return rest != "" && rest[0] >= '0' && rest[0] <= '9'
}

// Complete refuses what can't be, and connects.
func (o *options) Complete(ctx context.Context, version string) (err error) {
	o.Spec.Version, o.Spec.Only, o.Spec.DrainTimeout = upgrade.Version(version), v1alpha1.UpgradeScope(o.only), o.drain.String()
	if err := upgrade.Check(o.Options); err != nil {
		return err
	}
	if o.Config, o.Clients, o.Cluster, err = cli.StoredCluster(ctx, o.access); err != nil {
		return err
	}
	o.StateDir, err = cli.StateDir(o.Cluster)
	return err
}

// Run shows the plan, asks, brings the content, and has the cluster do the rest.
func (o *options) Run(ctx context.Context) error {
	if o.output.Manifests() {
		return o.manifests(ctx)
	}
	p, err := o.plan(ctx)
	if err != nil || p.Done() || o.dryRun {
		return err
	}
	if !o.yes {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, "Upgrade the cluster?"); err != nil {
			return err
		}
	}
	shown := cli.NewProgress(o.Out, o.output)
	ops, name, err := p.Begin(ctx, shown)
	shown.Close()
	if err != nil {
		return err
	}
	return cli.WatchOrLeave(ctx, o.IOStreams, ops, name, o.output, o.WaitFlags)
}

// manifests prints the Operation and its coordinator's Job.
func (o *options) manifests(ctx context.Context) error {
	objects, err := upgrade.Manifests(ctx, o.Options)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(o.Out, "# First push %s and the agent to the nodes: %s images push --programs BUNDLE.\n", o.Spec.Version, program.Name); err != nil {
		return err
	}
	return cli.PrintManifests(o.Out, objects)
}
