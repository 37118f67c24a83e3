package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// nodeRemoveOptions take a host out.
type nodeRemoveOptions struct {
	operate.Options
	spec    v1alpha1.RemoveNodeSpec
	drain   time.Duration
	file    string
	hostKey cli.HostKeyFlag
	// given is the Cluster file; nil when none was named.
	given *v1alpha1.Cluster
}

func newNodeRemove(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &nodeRemoveOptions{Options: operate.Options{IOStreams: streams, Access: access}}
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
	addDrainFlags(c, &o.spec, &o.drain)
	c.Flags().StringVarP(&o.file, "filename", "f", "", "the Cluster `file` that says how to log in to the host, to clean it afterwards")
	cli.AddFormer(c.Flags(), o.ErrOut, "file", "filename")
	cli.AddHostKeyFlag(c, &o.hostKey)
	c.Flags().StringVar(&o.spec.EtcdMember, "etcd-member", "", "in the place of a node: a `member` of etcd that no host has any more, by its peer URL, address, name or ID")
	c.Flags().StringVarP(&o.Output, "output", "o", "", "text (default), json: the plan, then an event per line; or yaml: the manifests, and nothing is done")
	return c
}

// validateMember refuses what is about hosts: a member of etcd that no host has is neither
// drained nor cleaned.
func (o *nodeRemoveOptions) validateMember(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return action.Invalidf("--etcd-member is in the place of a node: leave %s out", strings.Join(args, " "))
	}
	if strings.TrimSpace(o.spec.EtcdMember) == "" {
		return action.Invalidf("--etcd-member is empty: name the member by its peer URL, address, name or ID")
	}
	for _, name := range []string{"filename", "file", "drain-timeout", "force-drain", "delete-emptydir-data", "fenced"} {
		if c.Flags().Changed(name) {
			return action.Invalidf("--%s is about a host, and --etcd-member about a member of etcd that has none", name)
		}
	}
	return nil
}

// Complete connects.
func (o *nodeRemoveOptions) Complete(ctx context.Context, node string) error {
	if err := cli.CheckOutput(o.Output, cli.OutputYAML); err != nil {
		return err
	}
	if err := o.ValidateYes(); err != nil {
		return err
	}
	if o.drain <= 0 {
		return action.Invalidf("--drain-timeout %s is no time at all", o.drain)
	}
	if err := o.Connect(ctx); err != nil {
		return err
	}
	o.complete(node)
	if o.file == "" {
		return nil
	}
	var err error
	if o.given, _, err = cli.LoadCluster(o.file, o.In); err != nil {
		return err
	}
	return sameCluster(o.given, o.Stored)
}

func (o *nodeRemoveOptions) complete(node string) {
	if o.spec.EtcdMember != "" {
		return
	}
	o.spec.Node, o.spec.DrainTimeout = node, o.drain.String()
	if h, ok := o.Stored.Host(node); ok {
		o.spec.Address = h.Address
	}
}

// what is taken out, for people; and a name that an object may have.
func (o *nodeRemoveOptions) what() (text, object string) {
	if o.spec.EtcdMember != "" {
		// Of another member it is another object.
		name := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '-'
		}, strings.ToLower(strings.TrimPrefix(o.spec.EtcdMember, "https://")))
		return "the etcd member " + o.spec.EtcdMember, "etcd-member-" + strings.Trim(name, "-")
	}
	return o.spec.Node, o.spec.Node
}

func (o *nodeRemoveOptions) operation() v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveNode, RemoveNode: &o.spec}
}

// Run shows the plan, asks, and has it done.
func (o *nodeRemoveOptions) Run(ctx context.Context) error {
	what, object := o.what()
	if o.Output == cli.OutputYAML {
		return o.Manifests(ctx, o.operation(), object, "It looks itself whether that can go, before anything is done.")
	}
	if err := o.RefuseOther(ctx, o.operation()); err != nil {
		return err
	}
	p, seen, err := o.plan(ctx, o.Stored, nil)
	if err != nil {
		return err
	}
	if err := o.Show(nodes.Without(o.Stored, o.spec.Node), p); err != nil || o.DryRun {
		return err
	}
	if err := o.Ask(ctx, fmt.Sprintf("Take %s out of the cluster?", what)); err != nil {
		return err
	}
	if err := o.Operate(ctx, o.Stored, o.operation(), o.WaitFlags); err != nil || o.Detach || o.spec.EtcdMember != "" {
		return err
	}
	return o.afterwards(ctx, seen)
}

// plan is what is done, and what was seen. change, when not nil, makes what is seen
// into what will be seen by then.
func (o *nodeRemoveOptions) plan(ctx context.Context, c *v1alpha1.Cluster, change func(*nodes.Observation)) (*operate.Plan, nodes.Observation, error) {
	seen, err := nodes.Observe(ctx, o.Clients, c, o.spec.Node)
	if err != nil {
		return nil, seen, action.OfCluster(err)
	}
	if change != nil {
		change(&seen)
	}
	p := &operate.Plan{Cluster: c.Metadata.Name, Findings: nodes.CheckRemove(c, &o.spec, seen)}
	steps, err := nodes.PlanRemove(&o.spec, c, seen)
	var refused *nodes.Refused
	if err != nil && !errors.As(err, &refused) {
		return nil, seen, err
	}
	p.Inside(steps)
	return p, seen, nil
}

// afterwards cleans the host when that was asked for, and says what is left to do.
func (o *nodeRemoveOptions) afterwards(ctx context.Context, seen nodes.Observation) error {
	n, isNode := seen.Nodes[o.spec.Node]
	lost, cleaned := isNode && n.Lost != "", false
	if o.given != nil && !lost {
		if err := o.clean(ctx); err != nil {
			return fmt.Errorf("%s is out of the cluster, but it could not be cleaned: %w", o.spec.Node, err)
		}
		cleaned = true
	}
	if o.Output == cli.OutputJSON {
		return nil
	}
	text := fmt.Sprintf("Take %s out of your Cluster file as well.\n", o.spec.Node)
	switch {
	case lost:
		text += fmt.Sprintf("Never start %s again with its old disks: it would take itself for a part of the cluster. Wipe it, or run %s uninstall for it first.\n", o.spec.Node, program.Name)
	case !cleaned:
		text += fmt.Sprintf("Containers, images and data are still on %s; %s uninstall removes them.\n", o.spec.Node, program.Name)
	}
	_, err := fmt.Fprint(o.Out, text)
	return err
}

// cleanBy has the host taken back, unless it is one of another cluster of this name.
func (o *nodeRemoveOptions) cleanBy(ctx context.Context, hosts transport.Runner, name string, sink report.Sink) (left []string, err error) {
	state, err := cli.StateDir(o.given)
	if err != nil {
		return nil, err
	}
	local, err := bootstrap.LocalInputs(ctx, state, o.given)
	if err != nil {
		return nil, err
	}
	return bootstrap.Clean(ctx, hosts, o.given, local.EtcdCA, name, sink)
}

// clean takes back over SSH what was made on the host.
func (o *nodeRemoveOptions) clean(ctx context.Context) error {
	h, ok := o.given.Host(o.spec.Node)
	if !ok {
		if h, ok = o.Stored.Host(o.spec.Node); !ok {
			return fmt.Errorf("neither the file nor the stored Cluster document says how to log in to it")
		}
	}
	shown := cli.NewProgress(o.Out, o.Output)
	defer shown.Close()
	hosts, err := cli.Connect(ctx, o.given, &o.hostKey, shown, h)
	if hosts == nil {
		return err
	}
	defer remote.Close(hosts, shown)
	end := action.Begin(shown, "clean", "take back what was made on "+h.Name)
	left, err := o.cleanBy(ctx, hosts, h.Name, shown)
	if err != nil {
		end(err.Error())
		return action.OfHosts(err)
	}
	end("")
	for _, l := range left {
		shown.Emit(report.Event{Kind: report.Info, Host: h.Name, Message: "it keeps " + l})
	}
	return nil
}
