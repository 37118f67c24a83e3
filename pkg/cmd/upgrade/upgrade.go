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
	output string
}

// New makes `kubectl ha upgrade`.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams, access: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "upgrade VERSION",
		Short:   "Bring the cluster to another version of Kubernetes, node by node",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Shows what is done to which node in which order and what stands in the way, asks, renews the certificates of which less than half of their life is left (etcd's where the key of its CA is on this machine), brings images and programs to the nodes, and has the cluster itself do the rest: a backup, then one control plane after the other, the holder of the virtual IP last, then the workers. You may leave; operation watch, pause, resume and abort work at every step.",
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
	cli.AddDryRun(f, &o.dryRun, "show the plan, and end")
	o.Add(f, "", "begin it, and leave")
	cli.AddYes(f, &o.yes, "")
	f.StringVarP(&o.output, "output", "o", "", "text (default), json: the plan, then an event per line; or yaml: the manifests, and nothing is done")
	c.AddCommand(newPlan(streams, o.access), newRollback(streams, o.access))
	return c
}

// addSpec adds the flags that are about the upgrade itself.
func (o *options) addSpec(c *cobra.Command) {
	f := c.Flags()
	o.Spec.DeleteEmptyDirData = new(bool)
	f.StringVar(&o.File, "bundle", "", "take images and programs from this bundle (`file`)")
	cli.AddTrustFlags(f, &o.Trust, "bundle-")
	f.StringVar(&o.only, "only", "", "upgrade this `part` only: control-plane or nodes, which are the workers")
	f.StringVar(&o.Spec.MaxUnavailable, "max-unavailable", v1alpha1.DefaultMaxUnavailable, "how many workers are out at the same time, a `number` or a percentage")
	f.DurationVar(&o.drain, "drain-timeout", v1alpha1.DefaultDrainTimeout, "how long the pods of one node may take to leave it")
	f.BoolVar(&o.Spec.ForceDrain, "force-drain", false, "also evict pods that nothing makes again, and delete what has not left in time")
	f.BoolVar(o.Spec.DeleteEmptyDirData, "delete-emptydir-data", true, "also evict pods with data in emptyDir volumes, which ends with them")
	f.BoolVar(&o.Spec.DrainControlPlanes, "drain-control-planes", false, "drain the control planes too")
	f.Int32Var(&o.Spec.KeepBackups, "keep-backups", v1alpha1.DefaultKeepBackups, "how many backups each node keeps")
	f.StringSliceVar(&o.Spec.Ignore, "ignore", nil, "go on regardless of these `checks`: "+strings.Join(checks.Ignorable(), ", "))
	f.BoolVar(&o.Spec.RemoveFeatureGates, "remove-feature-gates", false, "take feature gates that the version has no more out of the cluster's configuration")
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
	if err := cli.CheckOutput(o.output, cli.OutputYAML); err != nil {
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
	if o.output == cli.OutputYAML {
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
	if _, err := fmt.Fprintf(o.Out, "# The nodes must have all of %s before, and this agent: %s images push --programs BUNDLE.\n", o.Spec.Version, program.Name); err != nil {
		return err
	}
	return cli.PrintManifests(o.Out, objects)
}
