// Package adopt is the command that takes a cluster of another tool's into care.
package adopt

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/adopt"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// options store a Cluster document for a cluster of somebody else's making.
type options struct {
	genericiooptions.IOStreams
	adopt.Options
	flags   *genericclioptions.ConfigFlags
	yes     bool
	release bool
	hostKey cli.HostKeyFlag
}

// New is the command adopt.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams, flags: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "adopt",
		Short:   "Adopt an existing kubeadm cluster",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Derives the Cluster document from the running cluster: endpoint, hosts and roles, etcd (stacked or external), networks. It shows what it found, what each command will do about what is others', and the document; then it prompts, and stores it in the cluster, together with the Operation resource, the namespace ha-system and the permissions of the coordinator. Nothing is changed on the nodes.",
			"An endpoint that kubectl ha does not keep is left as it is: a virtual IP of others, a name, a load balancer, a node's own address, or localhost. No command moves, checks or sets it up. Clusters that kubeadm did not make are refused.",
			"--ssh also installs the agent and its image on every node, over SSH and with your SSH configuration. Without the agent, kubectl ha cannot run anything on a node, and no registry has its image. With it, status --deep, doctor and images work as on any cluster that kubectl ha created. Run it again for nodes that were unreachable. Run doctor to see what an adopted cluster lacks, such as a health check of its virtual IP.",
			"--release takes kubectl ha out again, from the hosts over SSH and from the cluster, which runs on. It shows the plan and prompts first. It is refused while an operation is unfinished."),
		Example: cli.Examples(`
			# Only print the Cluster document
			kubectl ha adopt --dry-run > cluster.yaml

			# Store it and install the agent on the nodes
			kubectl ha adopt --ssh --ssh-user root

			# If the control planes have a virtual IP behind kubeadm's endpoint, which is a name
			kubectl ha adopt --virtual-ip 192.0.2.10

			# Take kubectl ha out of the cluster
			kubectl ha adopt --release --ssh-user root`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case o.release && (o.Agents || o.VirtualIP != ""):
				return action.Invalidf("--release takes kubectl ha out: --ssh and --virtual-ip are for adopting")
			case o.release:
				return o.giveBack(c.Context())
			case o.SSHUser != "" && !o.Agents:
				return action.Invalidf("--ssh-user requires --ssh or --release")
			}
			return o.Run(c.Context())
		},
	}
	cli.AddAccess(c, o.flags)
	f := c.Flags()
	f.StringVar(&o.VirtualIP, "virtual-ip", "", "`address` that the control planes pass on to each other, if kubeadm's endpoint is a name or missing")
	f.BoolVar(&o.Agents, "ssh", false, "also install the agent and its image on the nodes")
	f.BoolVar(&o.release, "release", false, "take kubectl ha out of the cluster, which runs on")
	f.StringVar(&o.SSHUser, "ssh-user", "", "with --ssh or --release: log in as this `user`, root or a user with sudo (default: from your SSH configuration)")
	cli.AddHostKeyFlag(c, &o.hostKey)
	cli.AddDryRun(f, &o.DryRun, "only print the document, or with --release the plan")
	cli.AddYes(f, &o.yes, "")
	return c
}

// Run shows what was found, asks, and has it stored.
func (o *options) Run(ctx context.Context) (err error) {
	if o.Config, err = cli.RestConfig(o.flags); err != nil {
		return err
	}
	if o.Agents {
		if o.Login, err = o.hostKey.Login(); err != nil {
			return err
		}
	}
	shown := cli.NewProgress(o.ErrOut, cli.Output{})
	defer shown.Close()
	p, err := adopt.Find(ctx, o.Options, shown)
	shown.Close()
	if err != nil {
		return err
	}
	defer p.Close(shown)
	if !p.Stored {
		document, err := v1alpha1.Marshal(p.Cluster)
		if err != nil {
			return err
		}
		if _, err := o.Out.Write(document); err != nil {
			return err
		}
		if err := o.show(p); err != nil || o.DryRun {
			return err
		}
	}
	if !o.yes {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, question(p, o.Agents)); err != nil {
			return err
		}
	}
	shown.Open()
	changed, err := p.Run(ctx, shown)
	shown.Close()
	if err != nil || p.Stored {
		return err
	}
	next := "adopt --ssh` installs the agent on the nodes, which every command that inspects or changes them needs"
	if o.Agents {
		next = "doctor` checks the cluster"
	}
	_, err = fmt.Fprintf(o.ErrOut, "stored; %s changed. `%s %s.\n", report.Plural(len(changed), "object", "objects"), program.Name, next)
	return err
}

// question is what is asked before anything is changed.
func question(p *adopt.Plan, agents bool) string {
	nodes := report.Plural(len(p.Cluster.Nodes()), "node", "nodes")
	switch {
	case p.Stored:
		return fmt.Sprintf("Install the agent on %s?", nodes)
	case agents:
		return fmt.Sprintf("Store this in the cluster, and install the agent on %s?", nodes)
	}
	return "Store this in the cluster?"
}
