package node

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// removeOptions take a host out.
type removeOptions struct {
	operate.Options
	host    nodes.RemoveOptions
	file    string
	hostKey cli.HostKeyFlag
}

func newRemove(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &removeOptions{Options: operate.Options{IOStreams: streams, Access: access}}
	c := &cobra.Command{
		Use:   "remove (NODE | --etcd-member MEMBER)",
		Short: "Take a host out of the cluster for good",
		Long: cli.Paragraphs(
			"Shows what is done and what stands in the way, asks, and has the cluster do it: the pods leave, the virtual IP moves away without loss, every other apiserver learns to do without the host's etcd member, which is taken out when those that stay are a quorum; keepalived, kubeadm's configuration and the stored Cluster document forget the host, and its node is deleted.",
			"A host whose kubelet is silent and at whose address nothing answers counts as lost: its traces are removed, and it must not be started again with its old disks. One of which only the kubelet is silent goes on serving, so that it is refused, unless --fenced says that it was cut off. With -f a host that is there is cleaned over SSH at the end, as kubectl ha uninstall does; without it keeps containers, images and data.",
			"--etcd-member is for a member of etcd that no host has any more: one that was added for a host which was lost before it was part of the cluster. It keeps every other new member out. It is named by its peer URL, its address, its name or its ID, as errors and kubectl ha doctor tell it. The member of a host or node of the cluster is refused, and so is one that votes and answers, or without which etcd would have no quorum."),
		Example: cli.Examples(`
			kubectl ha node remove w1
			kubectl ha node remove cp1 --dry-run

			# And clean the host afterwards
			kubectl ha node remove cp1 -f cluster.yaml

			kubectl ha node remove w2 --delete-emptydir-data --drain-timeout 2m --yes

			# A member that was added for a host which was lost then
			kubectl ha node remove --etcd-member https://192.168.0.14:2380`),
		Args: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("etcd-member") {
				return o.validateMember(c, args)
			}
			return cli.OneArg("the node")(c, args)
		},
		ValidArgsFunction: completeHosts(&o.Options),
		RunE: func(c *cobra.Command, args []string) error {
			node := ""
			if len(args) > 0 {
				node = args[0]
			}
			if err := o.Complete(c.Context(), node); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	o.AddFlags(c)
	addDrainFlags(c, &o.host.Spec, &o.host.DrainTimeout)
	c.Flags().StringVarP(&o.file, "filename", "f", "", "the Cluster `file` that says how to log in to the host, to clean it afterwards")
	cli.AddFormer(c.Flags(), o.ErrOut, "file", "filename")
	cli.AddHostKeyFlag(c, &o.hostKey)
	c.Flags().StringVar(&o.host.Spec.EtcdMember, "etcd-member", "", "in the place of a node: a `member` of etcd that no host has any more, by its peer URL, address, name or ID")
	c.Flags().StringVarP(&o.Output, "output", "o", "", "text (default), json: the plan, then an event per line; or yaml: the manifests, and nothing is done")
	return c
}

// validateMember refuses what is about hosts: a member of etcd that no host has is neither
// drained nor cleaned.
func (o *removeOptions) validateMember(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return action.Invalidf("--etcd-member is in the place of a node: leave %s out", strings.Join(args, " "))
	}
	if strings.TrimSpace(o.host.Spec.EtcdMember) == "" {
		return action.Invalidf("--etcd-member is empty: name the member by its peer URL, address, name or ID")
	}
	for _, name := range []string{"filename", "file", "drain-timeout", "force-drain", "delete-emptydir-data", "fenced"} {
		if c.Flags().Changed(name) {
			return action.Invalidf("--%s is about a host, and --etcd-member about a member of etcd that has none", name)
		}
	}
	return nil
}

// Complete connects, and reads the Cluster file that was named.
func (o *removeOptions) Complete(ctx context.Context, node string) (err error) {
	o.host.Spec.Node = node
	if err := cli.CheckOutput(o.Output, cli.OutputYAML); err != nil {
		return err
	}
	if err := o.ValidateYes(); err != nil {
		return err
	}
	if o.host.DrainTimeout <= 0 {
		return action.Invalidf("--drain-timeout %s is no time at all", o.host.DrainTimeout)
	}
	if err := o.Connect(ctx); err != nil {
		return err
	}
	o.host.To = o.Connection
	if o.file == "" {
		return nil
	}
	if o.host.Given, _, err = cli.LoadCluster(o.file, o.In); err != nil {
		return err
	}
	if o.host.StateDir, err = cli.StateDir(o.host.Given); err != nil {
		return err
	}
	o.host.Login, err = o.hostKey.Login()
	return err
}

// Run shows the plan, asks, and has it done.
func (o *removeOptions) Run(ctx context.Context) error {
	if o.Output == cli.OutputYAML {
		objects, err := nodes.RemoveManifests(ctx, o.host)
		if err != nil {
			return err
		}
		return o.PrintManifests(objects, "It looks itself whether that can go, before anything is done.")
	}
	r, err := nodes.PlanRemove(ctx, o.host)
	if err != nil {
		return err
	}
	if err := o.Decide(ctx, fmt.Sprintf("Take %s out of the cluster?", r.What), r.Plan); err != nil {
		return err
	}
	if o.DryRun {
		return r.Plan.Refused()
	}
	if err := o.Carry(ctx, r.Begin); err != nil || o.Detach || o.host.Spec.EtcdMember != "" {
		return err
	}
	shown := cli.NewProgress(o.Out, o.Output)
	out, err := r.Clean(ctx, shown)
	shown.Close()
	if err != nil {
		return err
	}
	return printOut(&o.Options, out)
}

// printOut says what is left to do about a host that is out.
func printOut(o *operate.Options, out nodes.Out) error {
	if o.Output == cli.OutputJSON {
		return nil
	}
	text := fmt.Sprintf("Take %s out of your Cluster file as well.\n", out.Host)
	switch {
	case out.Lost:
		text += fmt.Sprintf("Never start %s again with its old disks: it would take itself for a part of the cluster. Wipe it, or run %s uninstall for it first.\n", out.Host, program.Name)
	case !out.Cleaned:
		text += fmt.Sprintf("Containers, images and data are still on %s; %s uninstall removes them.\n", out.Host, program.Name)
	}
	_, err := fmt.Fprint(o.Out, text)
	return err
}
