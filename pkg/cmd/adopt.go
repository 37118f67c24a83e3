package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/adopt"
)

// adoptOptions store a Cluster document for a cluster of somebody else's making.
type adoptOptions struct {
	genericiooptions.IOStreams
	access    *genericclioptions.ConfigFlags
	virtualIP string
	dryRun    bool
	yes       bool

	config *rest.Config
}

func newAdopt(streams genericiooptions.IOStreams) *cobra.Command {
	o := &adoptOptions{IOStreams: streams, access: newAccess()}
	c := &cobra.Command{
		Use:     "adopt",
		Short:   "Take a kubeadm cluster that another tool made into care",
		GroupID: groupAccess,
		Long: paragraphs(
			"Finds the Cluster document of a kubeadm cluster from the cluster itself: its endpoint, hosts and their roles, etcd (stacked or external), networks. It shows the document, asks, and stores it with what Operations need: the Operation resource, and the namespace ha-system with the coordinator's rights. Nothing on any node is changed.",
			"From then on status, doctor and images work as on a cluster of kubectl ha's own, once the agent is on the nodes. What a cluster of another making lacks, such as the watch of its virtual IP, doctor tells."),
		Example: examples(`
			# Only show what was found
			kubectl ha adopt --dry-run > cluster.yaml

			kubectl ha adopt
			kubectl ha adopt --virtual-ip 192.0.2.10`),
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.Run(c.Context())
		},
	}
	addAccess(c, o.access)
	f := c.Flags()
	f.StringVar(&o.virtualIP, "virtual-ip", "", "the `address` of the API, when kubeadm's endpoint is a name or missing")
	f.BoolVar(&o.dryRun, "dry-run", false, "only print the document")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return c
}

// Run finds, shows, asks, stores.
func (o *adoptOptions) Run(ctx context.Context) (err error) {
	if o.config, err = restConfig(o.access); err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(o.config)
	if err != nil {
		return err
	}
	if !o.dryRun {
		if c, err := incluster.StoredCluster(ctx, kube); err == nil {
			return usageErrorf("this cluster has a Cluster document already, of the name %s; nothing was changed", c.Metadata.Name)
		}
	}
	seen, err := adopt.Observe(ctx, kube)
	if err != nil {
		return clusterError(err)
	}
	cluster, err := adopt.Cluster(seen, o.virtualIP)
	if err != nil {
		return withCode(ExitUsage, err)
	}
	document, err := v1alpha1.Marshal(cluster)
	if err != nil {
		return err
	}
	if _, err := o.Out.Write(document); err != nil || o.dryRun {
		return err
	}
	if !o.yes {
		if err := confirm(ctx, o.In, o.ErrOut, "Store this in the cluster?"); err != nil {
			return err
		}
	}
	changed, err := incluster.Install(ctx, o.config, cluster)
	if err != nil {
		return clusterError(err)
	}
	_, err = fmt.Fprintf(o.ErrOut, "stored; %s changed. `%s doctor` tells how the cluster stands.\n", plural(len(changed), "object", "objects"), displayName)
	return err
}
