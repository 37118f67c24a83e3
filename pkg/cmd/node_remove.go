package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
)

// nodeRemoveOptions take a host out.
type nodeRemoveOptions struct {
	nodeOptions
	spec  v1alpha1.RemoveNodeSpec
	drain time.Duration
}

func newNodeRemove(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &nodeRemoveOptions{nodeOptions: nodeOptions{IOStreams: streams, access: access}}
	c := &cobra.Command{
		Use:   "remove NODE",
		Short: "Take a host out of the cluster for good",
		Long: paragraphs(
			"Shows what is done and what stands in the way, asks, and has the cluster do it: the pods leave, the virtual IP moves away without loss, every other apiserver learns to do without the host's etcd member, which is taken out when those that stay are a quorum; keepalived, kubeadm's configuration and the stored Cluster document forget the host, and its node is deleted.",
			"A host that has not been heard of for 40 seconds counts as lost: its traces are removed, and it must not be started again with its old disks. A host that is there keeps containers, images and data until kubectl ha uninstall."),
		Example: examples(`
			kubectl ha node remove w1
			kubectl ha node remove cp1 --dry-run
			kubectl ha node remove w2 --delete-emptydir-data --drain-timeout 2m --yes`),
		Args:              oneArg("the node"),
		ValidArgsFunction: o.completeHosts,
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.Complete(c.Context(), args[0]); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	o.addFlags(c)
	addDrainFlags(c, &o.spec, &o.drain)
	c.Flags().StringVarP(&o.output, "output", "o", "", "text (default), json: the plan, then an event per line; or yaml: the manifests, and nothing is done")
	return c
}

// Complete connects.
func (o *nodeRemoveOptions) Complete(ctx context.Context, node string) error {
	if err := checkOutput(o.output, outputYAML); err != nil {
		return err
	}
	if err := o.validateYes(); err != nil {
		return err
	}
	if o.drain <= 0 {
		return usageErrorf("--drain-timeout %s is no time at all", o.drain)
	}
	if err := o.connect(ctx); err != nil {
		return err
	}
	o.complete(node)
	return nil
}

func (o *nodeRemoveOptions) complete(node string) {
	o.spec.Node, o.spec.DrainTimeout = node, o.drain.String()
	if h, ok := o.stored.Host(node); ok {
		o.spec.Address = h.Address
	}
}

func (o *nodeRemoveOptions) operation() v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveNode, RemoveNode: &o.spec}
}

// Run shows the plan, asks, and has it done.
func (o *nodeRemoveOptions) Run(ctx context.Context) error {
	if o.output == outputYAML {
		return o.manifests(ctx, o.operation(), o.spec.Node, "It looks itself whether the host can leave, before anything is done.")
	}
	if err := o.refuseOther(ctx, o.operation()); err != nil {
		return err
	}
	p, seen, err := o.plan(ctx, o.stored, nil)
	if err != nil {
		return err
	}
	if err := o.show(nodes.Without(o.stored, o.spec.Node), p); err != nil || o.dryRun {
		return err
	}
	if err := o.ask(ctx, fmt.Sprintf("Take %s out of the cluster?", o.spec.Node)); err != nil {
		return err
	}
	if err := o.operate(ctx, o.stored, o.operation(), o.detach); err != nil || o.detach {
		return err
	}
	return o.afterwards(seen)
}

// plan is what is done, and what was seen. change, when not nil, makes what is seen
// into what will be seen by then.
func (o *nodeRemoveOptions) plan(ctx context.Context, c *v1alpha1.Cluster, change func(*nodes.Observation)) (*nodePlan, nodes.Observation, error) {
	seen, err := nodes.Observe(ctx, o.clients, c, o.spec.Node)
	if err != nil {
		return nil, seen, clusterError(err)
	}
	if change != nil {
		change(&seen)
	}
	p := &nodePlan{Cluster: c.Metadata.Name, Findings: nodes.CheckRemove(c, &o.spec, seen)}
	steps, err := nodes.PlanRemove(&o.spec, c, seen)
	var refused *nodes.Refused
	if err != nil && !errors.As(err, &refused) {
		return nil, seen, err
	}
	p.inside(steps)
	return p, seen, nil
}

// afterwards says what is left to do.
func (o *nodeRemoveOptions) afterwards(seen nodes.Observation) error {
	if o.output == outputJSON {
		return nil
	}
	text := fmt.Sprintf("Take %s out of your Cluster file as well.\n", o.spec.Node)
	switch n, isNode := seen.Nodes[o.spec.Node]; {
	case isNode && n.Lost != "":
		text += fmt.Sprintf("Never start %s again with its old disks: it would take itself for a part of the cluster. Wipe it, or run %s uninstall for it first.\n", o.spec.Node, displayName)
	default:
		text += fmt.Sprintf("Containers, images and data are still on %s; %s uninstall removes them.\n", o.spec.Node, displayName)
	}
	_, err := fmt.Fprint(o.Out, text)
	return err
}
