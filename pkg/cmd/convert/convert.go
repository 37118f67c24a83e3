// Package convert is the command that makes a cluster of others highly available.
package convert

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/convert"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/nodes"
	operating "github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// options make a cluster of others highly available.
type options struct {
	operate.Options
	want          convert.Options
	controlPlanes []string
	// hosts are the controlPlanes, add how they come.
	hosts   []v1alpha1.Host
	add     nodes.AddOptions
	user    string
	hostKey cli.HostKeyFlag
}

// controlPlaneFlag adds control planes.
const controlPlaneFlag = "control-plane"

// New is the command convert.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	o := &options{Options: operate.Options{IOStreams: streams, Access: access}}
	c := &cobra.Command{
		Use:     "convert",
		Short:   "Give an adopted cluster a virtual IP, and more control plane nodes",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Makes an adopted cluster highly available: one that has a single control plane node, or whose endpoint is a node's own address, a name, localhost, or an address that others keep. An Operation sets up keepalived and a watch of the API server on each control plane node, adds the virtual IP to the certificates of the API servers (they take these up without a restart), and then points cluster-info, kubeadm's configuration, kube-proxy, the kubelets and admin.conf at the virtual IP. Each is pointed there only after the virtual IP has answered from its node. No API server and no pod other than those of kube-proxy restarts.",
			"The former endpoint stays as it is, and kubeconfig files that name it go on working. --undo has everything use it again, and takes the virtual IP away.",
			"--control-plane NAME=ADDRESS adds a host as a control plane node afterwards, as node add does, over SSH; give it twice for three of them. With stacked etcd each gets a member, first as a learner. These hosts are looked at before anything is changed.",
			"Run it again to resume. kubeadm has no way to change the endpoint of a cluster; run adopt --ssh first."),
		Example: cli.Examples(`
			kubectl ha convert --virtual-ip 192.0.2.100 --dry-run
			kubectl ha convert --virtual-ip 192.0.2.100

			# From one control plane node to three
			kubectl ha convert --virtual-ip 192.0.2.100 --control-plane cp2=192.0.2.12 \
			  --control-plane cp3=192.0.2.13 --ssh-user root

			# Use the former endpoint again
			kubectl ha convert --undo`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Complete(c.Context()); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	cli.AddAccess(c, access)
	o.AddFlags(c)
	f := c.Flags()
	f.StringVar(&o.want.VirtualIP, "virtual-ip", "", "`address` that nobody has, in the subnet of the control plane nodes")
	f.StringVar(&o.want.Interface, "interface", "", "network `interface` of the virtual IP (default: on each node the one that has its address)")
	f.Int32Var(&o.want.RouterID, "router-id", 0, "VRRP router `id`, 1 to 255 (default: derived from the cluster's name and the virtual IP)")
	f.BoolVar(&o.want.Undo, "undo", false, "use the former endpoint again, and take the virtual IP away")
	f.StringArrayVar(&o.controlPlanes, controlPlaneFlag, nil, "`NAME=ADDRESS` of a host to add as a control plane node afterwards; can be repeated")
	f.StringVar(&o.user, "ssh-user", "", "with --control-plane: log in as this `user`, root or a user with sudo (default: from your SSH configuration)")
	f.StringVar(&o.add.Bundle, "bundle", "", "with --control-plane: bundle `file` with images and binaries (default: created in your cache)")
	cli.AddTrustFlags(f, &o.add.Trust, "bundle-")
	cli.AddHostKeyFlag(c, &o.hostKey)
	cli.AddOutput(c, &o.Output, cli.Formats{Documents: "the plan, then one event per line", Manifests: true})
	return c
}

// Complete checks the flags, and connects.
func (o *options) Complete(ctx context.Context) (err error) {
	switch {
	case o.want.VirtualIP == "" && !o.want.Undo:
		return action.Invalidf("specify --virtual-ip, an address that nobody has, in the subnet of the control plane nodes")
	case o.want.Undo && (len(o.controlPlanes) > 0 || o.want.Interface != "" || o.want.RouterID != 0):
		return action.Invalidf("--undo takes back what was done: it takes --virtual-ip only, if that is not known")
	case o.want.RouterID < 0 || o.want.RouterID > 255:
		return action.Invalidf("--router-id %d: use 1 to 255", o.want.RouterID)
	case len(o.controlPlanes) > 0 && o.Detach:
		return action.Invalidf("--%s needs the virtual IP first: it cannot be combined with --detach; run %s node add afterwards", controlPlaneFlag, program.Name)
	case len(o.controlPlanes) > 0 && o.Output.Manifests():
		return action.Invalidf("--%s works over SSH, which manifests cannot", controlPlaneFlag)
	case len(o.controlPlanes) == 0 && (o.user != "" || o.add.Bundle != ""):
		return action.Invalidf("--ssh-user and --bundle require --%s", controlPlaneFlag)
	}
	if o.hosts, err = parseHosts(o.controlPlanes); err != nil {
		return err
	}
	if err := o.add.Trust.Requires(o.add.Bundle != "", "--bundle"); err != nil {
		return err
	}
	if err := o.ValidateYes(); err != nil {
		return err
	}
	if len(o.hosts) > 0 {
		if o.add.Login, err = o.hostKey.Login(); err != nil {
			return err
		}
	}
	err = o.Connect(ctx)
	o.want.To, o.want.DryRun = o.Connection, o.DryRun
	return err
}

// parseHosts reads NAME=ADDRESS. Names and addresses are checked with the document that has them.
func parseHosts(given []string) ([]v1alpha1.Host, error) {
	var out []v1alpha1.Host
	seen := map[string]bool{}
	for _, text := range given {
		name, address, ok := strings.Cut(text, "=")
		switch {
		case !ok || name == "" || address == "":
			return nil, action.Invalidf("--%s %s: use NAME=ADDRESS, such as cp2=192.0.2.12", controlPlaneFlag, text)
		case seen[name]:
			return nil, action.Invalidf("--%s names %s twice", controlPlaneFlag, name)
		}
		seen[name] = true
		out = append(out, v1alpha1.Host{Name: name, Address: address})
	}
	return out, nil
}

// Run shows the plan, asks, and has it done.
func (o *options) Run(ctx context.Context) error {
	if o.Output.Manifests() {
		objects, err := convert.Manifests(ctx, o.want)
		if err != nil {
			return err
		}
		return o.PrintManifests(objects, "The cluster is to be adopted before: "+program.Name+" adopt --ssh")
	}
	c, err := convert.New(ctx, o.want)
	if err != nil {
		return err
	}
	plans := []*operating.Plan{c.Plan}
	if len(o.hosts) > 0 {
		if plans, err = o.lookAtHosts(ctx, c.Plan); err != nil {
			return err
		}
	}
	if err := o.Decide(ctx, o.question(c), plans...); err != nil || o.DryRun {
		return err
	}
	for _, p := range plans {
		if err := p.Refused(); err != nil {
			return err
		}
	}
	if err := o.Carry(ctx, c.Begin); err != nil || o.Detach {
		return err
	}
	if err := c.Settle(ctx); err != nil {
		return err
	}
	if len(o.hosts) > 0 {
		return o.addHosts(ctx)
	}
	return o.next(c)
}

func (o *options) question(c *convert.Conversion) string {
	switch {
	case c.Done && len(o.hosts) == 0:
		return "The cluster's endpoint is " + c.Plan.Cluster.Endpoint() + " already. See that all of it is as it should be?"
	case o.want.Undo:
		return "Use " + c.Plan.Cluster.Endpoint() + " again, and take " + c.VirtualIP() + " away? Kubeconfigs that name it stop working."
	case len(o.hosts) > 0:
		return fmt.Sprintf("Convert the cluster to %s, and add %s?", c.Plan.Cluster.Endpoint(), report.Plural(len(o.hosts), "control plane node", "control plane nodes"))
	}
	return "Convert the cluster to " + c.Plan.Cluster.Endpoint() + "?"
}

// lookAtHosts is the plan with that of the control planes to come, whose hosts are looked at.
func (o *options) lookAtHosts(ctx context.Context, first *operating.Plan) ([]*operating.Plan, error) {
	plans := []*operating.Plan{first}
	err := o.adding(ctx, first.Cluster, true, func(_ context.Context, parts []*operating.Plan) error {
		plans = append(plans, parts...)
		return nil
	})
	// What stands in the way is shown with the plan.
	if err != nil && len(plans) == 1 {
		return nil, err
	}
	var over *nodes.SSHError
	if errors.As(err, &over) {
		return nil, err
	}
	return plans, nil
}

// addHosts adds the control planes to the cluster, which has its virtual IP by now.
func (o *options) addHosts(ctx context.Context) error {
	if err := o.Connect(ctx); err != nil {
		return err
	}
	return o.adding(ctx, o.Stored, false, nil)
}

// adding adds the control planes, or only looks at their hosts. stored is the cluster's document by
// then.
func (o *options) adding(ctx context.Context, stored *v1alpha1.Cluster, dryRun bool, confirm func(context.Context, []*operating.Plan) error) (err error) {
	add := o.add
	to := *o.Connection
	if dryRun {
		add.APIAt = to.Stored.Endpoint()
	}
	to.Stored = stored
	add.To, add.File, add.DryRun, add.Confirm = &to, "--"+controlPlaneFlag, dryRun, confirm
	for _, h := range o.hosts {
		add.Names = append(add.Names, h.Name)
	}
	if add.Given, err = convert.WithControlPlanes(stored, o.user, o.hosts); err != nil {
		return err
	}
	if add.StateDir, err = cli.StateDir(add.Given); err != nil {
		return err
	}
	shown := cli.NewProgress(o.Out, o.Output)
	begun, err := nodes.RunAdd(ctx, add, shown)
	shown.Close()
	var over *nodes.SSHError
	if errors.As(err, &over) {
		return cli.Explain(ctx, o.Out, o.Output, over.Result, err)
	}
	if err != nil || begun == nil {
		return err
	}
	return o.Watch(ctx, begun, o.WaitFlags)
}

// next says what to do now.
func (o *options) next(c *convert.Conversion) error {
	if o.Output.ForPrograms() {
		return nil
	}
	text := "the cluster's endpoint is " + c.Plan.Cluster.EndpointURL()
	switch {
	case o.want.Undo:
		text += " again"
	case len(c.Plan.Cluster.ControlPlanes()) == 1:
		text += "; `" + program.Name + " convert` with --" + controlPlaneFlag + " adds control plane nodes"
	}
	_, err := fmt.Fprintln(o.Out, text)
	return err
}
