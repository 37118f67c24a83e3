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
		Short: "Remove a host from the cluster",
		Long: cli.Paragraphs(
			"Shows the plan and all blocking issues, prompts, and removes the host with an Operation: the node is drained, the virtual IP moves away without lost connections, and the other apiservers stop using the etcd member of the host. The member is removed once the remaining members form a quorum. The host is removed from keepalived, the kubeadm configuration and the stored Cluster document, and its Node is deleted.",
			"A host counts as lost if its kubelet is silent and nothing responds at its address. Its entries are removed from the cluster, and it must not be started again with its old disks. If only the kubelet is silent, the host may still be serving; removing it is refused unless you confirm with --fenced that it is cut off. With -f, a reachable host is cleaned over SSH at the end, as kubectl ha uninstall does. Without -f, it keeps its containers, images and data.",
			"--etcd-member removes an etcd member that no longer has a host: one that was added for a host that was lost before it joined. Such a member blocks every other new member. Name it by peer URL, address, name or ID, as shown in errors and by kubectl ha doctor. Removing it is refused if it belongs to a host or node of the cluster, if it is a voter that responds, or if etcd would lose its quorum."),
		Example: cli.Examples(`
			kubectl ha node remove w1
			kubectl ha node remove cp1 --dry-run

			# Remove the host, then clean it over SSH
			kubectl ha node remove cp1 -f cluster.yaml

			kubectl ha node remove w2 --delete-emptydir-data --drain-timeout 2m --yes

			# Remove an etcd member whose host was lost before it joined
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
	c.Flags().StringVarP(&o.file, "filename", "f", "", "Cluster `file`, to log in to the host and clean it afterwards")
	cli.AddFormer(c.Flags(), o.ErrOut, "file", "filename")
	cli.AddHostKeyFlag(c, &o.hostKey)
	c.Flags().StringVar(&o.host.Spec.EtcdMember, "etcd-member", "", "instead of a node: etcd `member` that no longer has a host, by peer URL, address, name or ID")
	cli.AddOutput(c, &o.Output, cli.Formats{Documents: "the plan, then one event per line", Manifests: true})
	return c
}

// validateMember refuses what is about hosts: a member of etcd that no host has is neither
// drained nor cleaned.
func (o *removeOptions) validateMember(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return action.Invalidf("--etcd-member replaces the node argument: remove %s", strings.Join(args, " "))
	}
	if strings.TrimSpace(o.host.Spec.EtcdMember) == "" {
		return action.Invalidf("--etcd-member is empty: specify the member by peer URL, address, name or ID")
	}
	for _, name := range []string{"filename", "file", "drain-timeout", "force-drain", "delete-emptydir-data", "fenced"} {
		if c.Flags().Changed(name) {
			return action.Invalidf("--%s is for a host, but --etcd-member is for an etcd member without a host", name)
		}
	}
	return nil
}

// Complete connects, and reads the Cluster file that was named.
func (o *removeOptions) Complete(ctx context.Context, node string) (err error) {
	o.host.Spec.Node = node
	if err := o.ValidateYes(); err != nil {
		return err
	}
	if o.host.DrainTimeout <= 0 {
		return action.Invalidf("--drain-timeout must be greater than 0, not %s", o.host.DrainTimeout)
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
	if o.Output.Manifests() {
		objects, err := nodes.RemoveManifests(ctx, o.host)
		if err != nil {
			return err
		}
		return o.PrintManifests(objects, "The Operation checks whether the removal is safe before it changes anything.")
	}
	r, err := nodes.PlanRemove(ctx, o.host)
	if err != nil {
		return err
	}
	if err := o.Decide(ctx, fmt.Sprintf("Remove %s from the cluster?", r.What), r.Plan); err != nil {
		return err
	}
	if o.DryRun {
		return r.Plan.Refused()
	}
	if err := o.Carry(ctx, r.Begin); err != nil || o.Detach {
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
	if o.Output.ForPrograms() || out.Host == "" {
		return nil
	}
	text := fmt.Sprintf("Also remove %s from your Cluster file.\n", out.Host)
	switch {
	case out.Lost:
		text += fmt.Sprintf("Never start %s again with its old disks: it would act as part of the cluster. Wipe it, or run %s uninstall for it first.\n", out.Host, program.Name)
	case !out.Cleaned:
		text += fmt.Sprintf("Containers, images and data are still on %s; %s uninstall removes them.\n", out.Host, program.Name)
	}
	_, err := fmt.Fprint(o.Out, text)
	return err
}
