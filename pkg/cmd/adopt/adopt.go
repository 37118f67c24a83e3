package adopt

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/adopt"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// adoptOptions store a Cluster document for a cluster of somebody else's making.
type adoptOptions struct {
	genericiooptions.IOStreams
	access    *genericclioptions.ConfigFlags
	virtualIP string
	dryRun    bool
	yes       bool
	// ssh puts the agent on the nodes too, as sshUser.
	ssh     bool
	sshUser string
	hostKey cli.HostKeyFlag

	config *rest.Config
}

func NewAdopt(streams genericiooptions.IOStreams) *cobra.Command {
	o := &adoptOptions{IOStreams: streams, access: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "adopt",
		Short:   "Take a kubeadm cluster that another tool made into care",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Finds the Cluster document of a kubeadm cluster from the cluster itself: its endpoint, hosts and their roles, etcd (stacked or external), networks. It shows the document, asks, and stores it with what Operations need: the Operation resource, and the namespace ha-system with the coordinator's rights. Nothing on any node is changed.",
			"--ssh also puts the agent and its image on every node, over SSH with your own SSH settings: without it nothing of kubectl ha's can run on a node, and there is no registry to pull it from. From then on status --deep, doctor and images work as on a cluster of kubectl ha's own. It may be run again, for nodes that were away. What a cluster of another making lacks, such as the watch of its virtual IP, doctor tells."),
		Example: cli.Examples(`
			# Only show what was found
			kubectl ha adopt --dry-run > cluster.yaml

			# Store it, and put the agent on the nodes
			kubectl ha adopt --ssh --ssh-user root

			# kubeadm's endpoint is a name, or missing
			kubectl ha adopt --virtual-ip 192.0.2.10`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.sshUser != "" && !o.ssh {
				return action.Invalidf("--ssh-user goes with --ssh")
			}
			return o.Run(c.Context())
		},
	}
	cli.AddAccess(c, o.access)
	f := c.Flags()
	f.StringVar(&o.virtualIP, "virtual-ip", "", "the `address` of the API, when kubeadm's endpoint is a name or missing")
	f.BoolVar(&o.ssh, "ssh", false, "put the agent and its image on the nodes as well")
	f.StringVar(&o.sshUser, "ssh-user", "", "with --ssh: log in as this `user`, root or one with sudo (default what your SSH settings say)")
	cli.AddHostKeyFlag(c, &o.hostKey)
	cli.AddDryRun(f, &o.dryRun, "only print the document")
	cli.AddYes(f, &o.yes, "")
	return c
}

// Run finds, shows, asks, stores.
func (o *adoptOptions) Run(ctx context.Context) (err error) {
	if o.config, err = cli.RestConfig(o.access); err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(o.config)
	if err != nil {
		return err
	}
	if !o.dryRun {
		c, err := incluster.StoredCluster(ctx, kube)
		switch {
		case err == nil && o.ssh:
			if err := o.ask(ctx, fmt.Sprintf("Put the agent on %s?", report.Plural(len(c.Nodes()), "node", "nodes"))); err != nil {
				return err
			}
			return o.placeAgents(ctx, c)
		case err == nil:
			return action.Invalidf("this cluster has a Cluster document already, of the name %s; nothing was changed", c.Metadata.Name)
		case !apierrors.IsNotFound(err):
			// There may be one all the same, and what is found would overwrite it.
			return action.OfCluster(fmt.Errorf("whether this cluster has a Cluster document already can't be told; nothing was changed: %w", err))
		}
	}
	if !o.dryRun {
		if err := adopt.CheckNamespace(ctx, kube); err != nil {
			return action.OfCluster(err)
		}
	}
	seen, err := adopt.Observe(ctx, kube)
	if err != nil {
		return action.OfCluster(err)
	}
	cluster, err := adopt.Cluster(seen, o.virtualIP)
	if err != nil {
		return action.As(action.Invalid, err)
	}
	document, err := v1alpha1.Marshal(cluster)
	if err != nil {
		return err
	}
	if _, err := o.Out.Write(document); err != nil || o.dryRun {
		return err
	}
	question := "Store this in the cluster?"
	if o.ssh {
		question = fmt.Sprintf("Store this in the cluster, and put the agent on %s?", report.Plural(len(cluster.Nodes()), "node", "nodes"))
	}
	if err := o.ask(ctx, question); err != nil {
		return err
	}
	changed, err := incluster.Install(ctx, o.config, cluster)
	if err != nil {
		return action.OfCluster(err)
	}
	next := "adopt --ssh` puts the agent on the nodes, which what looks at them, or changes them, needs"
	if o.ssh {
		if err := o.placeAgents(ctx, cluster); err != nil {
			return err
		}
		next = "doctor` tells how the cluster stands"
	}
	_, err = fmt.Fprintf(o.ErrOut, "stored; %s changed. `%s %s.\n", report.Plural(len(changed), "object", "objects"), program.Name, next)
	return err
}

// ask asks, unless --yes said so.
func (o *adoptOptions) ask(ctx context.Context, question string) error {
	if o.yes {
		return nil
	}
	return cli.Confirm(ctx, o.In, o.ErrOut, question)
}

// placeAgents puts the agent on the nodes, over SSH.
func (o *adoptOptions) placeAgents(ctx context.Context, c *v1alpha1.Cluster) error {
	image, err := agents.OwnImage()
	if err != nil {
		return err
	}
	if o.sshUser != "" {
		c.Spec.SSH.User = o.sshUser
	}
	shown := cli.NewProgress(o.ErrOut, "")
	defer shown.Close()
	hosts, err := cli.Connect(ctx, c, &o.hostKey, shown, c.Nodes()...)
	if hosts == nil {
		return err
	}
	defer remote.Close(hosts, shown)
	// Those that are reached get theirs, whoever is not.
	return errors.Join(bootstrap.PlaceAgents(ctx, hosts, c, image, shown), err)
}
