package cmd

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// nodeOptions are what the verbs about hosts of a cluster that runs share.
type nodeOptions struct {
	genericiooptions.IOStreams
	access *genericclioptions.ConfigFlags
	dryRun bool
	waitFlags
	yes    bool
	output string

	config  *rest.Config
	clients *client.Clients
	// stored is the Cluster document in the cluster.
	stored *v1alpha1.Cluster
	ops    *incluster.Operations
}

func (o *nodeOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	addDryRun(f, &o.dryRun, "show the plan, and end")
	o.add(f, "", "leave once the cluster does the rest by itself")
	addYes(f, &o.yes, "")
}

// connect reads the stored document of the cluster that the kubeconfig names.
func (o *nodeOptions) connect(ctx context.Context) (err error) {
	if o.config, o.clients, o.stored, err = storedCluster(ctx, o.access); err != nil {
		return err
	}
	agents, err := agents.Usual(ctx, o.config)
	if err != nil {
		return action.OfCluster(err)
	}
	o.ops, err = incluster.NewOperations(o.config, agents)
	return err
}

// validateYes refuses to begin what nobody can be asked about.
func (o *nodeOptions) validateYes() error {
	if _, interactive := terminal(o.In); !o.yes && !o.dryRun && o.output != outputYAML && (!interactive || o.output == outputJSON) {
		return action.Invalidf("nobody can be asked whether to go on, since there is no terminal to ask on: add --yes, or --dry-run to see the plan")
	}
	return nil
}

// ask asks, unless --yes said so.
func (o *nodeOptions) ask(ctx context.Context, question string) error {
	if o.yes {
		return nil
	}
	return confirm(ctx, o.In, o.ErrOut, question)
}

// operate has the cluster carry out an Operation, and shows it. One for the same that
// is unfinished is taken up. c is stored before, unless it is nil.
func (o *nodeOptions) operate(ctx context.Context, c *v1alpha1.Cluster, spec v1alpha1.OperationSpec, waits waitFlags) error {
	all, err := o.ops.List(ctx)
	if err != nil {
		return action.OfCluster(err)
	}
	for _, op := range all {
		if operations.Unfinished(op) && !op.Spec.Aborted && sameIntent(op.Spec, spec) {
			if err := o.ops.Resume(ctx, op.Name); err != nil {
				return action.OfCluster(err)
			}
			return watchOrLeave(ctx, o.IOStreams, o.ops, op.Name, o.output, waits)
		}
	}
	ops, err := readyOperations(ctx, o.IOStreams, o.config, c, o.output)
	if err != nil {
		return err
	}
	op, err := ops.Create(ctx, spec)
	if err != nil {
		return action.OfCluster(err)
	}
	return watchOrLeave(ctx, o.IOStreams, o.ops, op.Name, o.output, waits)
}

// refuseOther refuses while another Operation than one for the same is unfinished,
// before anything is done.
func (o *nodeOptions) refuseOther(ctx context.Context, specs ...v1alpha1.OperationSpec) error {
	all, err := o.ops.List(ctx)
	if err != nil {
		return action.OfCluster(err)
	}
	for _, op := range all {
		same := slices.ContainsFunc(specs, func(s v1alpha1.OperationSpec) bool { return sameIntent(op.Spec, s) })
		if operations.Unfinished(op) && !same {
			return operations.Busy(&op)
		}
	}
	return nil
}

// manifests prints the Operation and its coordinator's Job.
func (o *nodeOptions) manifests(ctx context.Context, spec v1alpha1.OperationSpec, name, comment string) error {
	objects, err := o.ops.Manifests(ctx, spec, name)
	if err != nil {
		return action.OfCluster(err)
	}
	if _, err := fmt.Fprintf(o.Out, "# %s\n", comment); err != nil {
		return err
	}
	return printManifests(o.Out, objects)
}

// show prints the findings and, when nothing stands in the way, the plan.
func (o *nodeOptions) show(c *v1alpha1.Cluster, p *nodePlan) error {
	bad := nodes.Blocking(p.Findings)
	p.OK = len(bad) == 0
	if o.output == outputJSON {
		p.Steps = []planStep{}
		for _, s := range p.plan.Steps {
			p.Steps = append(p.Steps, planStep{s.ID, s.Title, s.Host, s.After, s.Skip})
		}
		if p.Findings == nil {
			p.Findings = []nodes.Finding{}
		}
		if err := writeJSONLine(o.Out, p); err != nil {
			return err
		}
	} else if err := o.showText(c, p); err != nil {
		return err
	}
	if p.OK {
		return nil
	}
	return action.As(action.Findings, fmt.Errorf("%s in the way; nothing was changed", report.Plural(len(bad), "thing stands", "things stand")))
}

func (o *nodeOptions) showText(c *v1alpha1.Cluster, p *nodePlan) error {
	if p.OK {
		if err := printPlan(o.Out, styleFor(o.Out), c, p.plan); err != nil {
			return err
		}
	}
	var found []bootstrap.Finding
	for _, f := range p.Findings {
		one := bootstrap.Finding{Host: f.Node, Check: f.Check, Severity: bootstrap.Warning, Message: f.Message, Hint: f.Hint}
		if f.Blocks {
			one.Severity = bootstrap.Error
		}
		found = append(found, one)
	}
	if err := printFindings(o.Out, styleFor(o.Out), found); err != nil || !o.dryRun || !p.OK {
		return err
	}
	_, err := fmt.Fprintf(o.Out, "A dry run: nothing was changed. %s to do.\n", report.Plural(len(p.plan.Pending()), "step", "steps"))
	return err
}

// sameIntent tells whether two Operations are about the same hosts.
func sameIntent(a, b v1alpha1.OperationSpec) bool {
	switch {
	case a.Type != b.Type:
		return false
	case a.AddNode != nil && b.AddNode != nil:
		return slices.Equal(a.AddNode.Nodes, b.AddNode.Nodes)
	case a.RemoveNode != nil && b.RemoveNode != nil:
		return a.RemoveNode.Node == b.RemoveNode.Node && a.RemoveNode.EtcdMember == b.RemoveNode.EtcdMember
	case a.LoadBalancer != nil && b.LoadBalancer != nil:
		return reflect.DeepEqual(a.LoadBalancer, b.LoadBalancer)
	}
	return a.Type == v1alpha1.OperationRemoveLoadBalancer
}

// nodePlan is what -o json prints, and what is shown.
type nodePlan struct {
	Cluster  string          `json:"cluster"`
	OK       bool            `json:"ok"`
	Steps    []planStep      `json:"plan"`
	Findings []nodes.Finding `json:"findings"`

	plan plan.Plan
}

// inside adds an Operation's steps to a plan.
func (p *nodePlan) inside(steps []v1alpha1.StepStatus, before ...plan.Step) {
	p.plan.Steps = append(p.plan.Steps, before...)
	for _, s := range steps {
		one := plan.Step{ID: s.ID, Title: s.Title, Host: s.Node, After: s.After}
		if s.State == v1alpha1.StepSkipped {
			one.Skip = s.Message
		}
		if !s.Cleanup {
			p.plan.Steps = append(p.plan.Steps, one)
		}
	}
}
