package operate

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
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Options are what the verbs about hosts of a cluster that runs share.
type Options struct {
	genericiooptions.IOStreams
	Access *genericclioptions.ConfigFlags
	DryRun bool
	cli.WaitFlags
	Yes    bool
	Output string

	Config  *rest.Config
	Clients *client.Clients
	// Stored is the Cluster document in the cluster.
	Stored *v1alpha1.Cluster
	ops    *incluster.Operations
}

func (o *Options) AddFlags(c *cobra.Command) {
	f := c.Flags()
	cli.AddDryRun(f, &o.DryRun, "show the plan, and end")
	o.Add(f, "", "leave once the cluster does the rest by itself")
	cli.AddYes(f, &o.Yes, "")
}

// Connect reads the stored document of the cluster that the kubeconfig names.
func (o *Options) Connect(ctx context.Context) (err error) {
	if o.Config, o.Clients, o.Stored, err = cli.StoredCluster(ctx, o.Access); err != nil {
		return err
	}
	agents, err := agents.Usual(ctx, o.Config)
	if err != nil {
		return action.OfCluster(err)
	}
	o.ops, err = incluster.NewOperations(o.Config, agents)
	return err
}

// ValidateYes refuses to begin what nobody can be asked about.
func (o *Options) ValidateYes() error {
	if _, interactive := cli.Terminal(o.In); !o.Yes && !o.DryRun && o.Output != cli.OutputYAML && (!interactive || o.Output == cli.OutputJSON) {
		return action.Invalidf("nobody can be asked whether to go on, since there is no terminal to ask on: add --yes, or --dry-run to see the plan")
	}
	return nil
}

// Ask asks, unless --yes said so.
func (o *Options) Ask(ctx context.Context, question string) error {
	if o.Yes {
		return nil
	}
	return cli.Confirm(ctx, o.In, o.ErrOut, question)
}

// Operate has the cluster carry out an Operation, and shows it. One for the same that
// is unfinished is taken up. c is stored before, unless it is nil.
func (o *Options) Operate(ctx context.Context, c *v1alpha1.Cluster, spec v1alpha1.OperationSpec, waits cli.WaitFlags) error {
	all, err := o.ops.List(ctx)
	if err != nil {
		return action.OfCluster(err)
	}
	for _, op := range all {
		if operations.Unfinished(op) && !op.Spec.Aborted && sameIntent(op.Spec, spec) {
			if err := o.ops.Resume(ctx, op.Name); err != nil {
				return action.OfCluster(err)
			}
			return cli.WatchOrLeave(ctx, o.IOStreams, o.ops, op.Name, o.Output, waits)
		}
	}
	ops, err := cli.ReadyOperations(ctx, o.IOStreams, o.Config, c, o.Output)
	if err != nil {
		return err
	}
	op, err := ops.Create(ctx, spec)
	if err != nil {
		return action.OfCluster(err)
	}
	return cli.WatchOrLeave(ctx, o.IOStreams, o.ops, op.Name, o.Output, waits)
}

// RefuseOther refuses while another Operation than one for the same is unfinished,
// before anything is done.
func (o *Options) RefuseOther(ctx context.Context, specs ...v1alpha1.OperationSpec) error {
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

// Manifests prints the Operation and its coordinator's Job.
func (o *Options) Manifests(ctx context.Context, spec v1alpha1.OperationSpec, name, comment string) error {
	objects, err := o.ops.Manifests(ctx, spec, name)
	if err != nil {
		return action.OfCluster(err)
	}
	if _, err := fmt.Fprintf(o.Out, "# %s\n", comment); err != nil {
		return err
	}
	return cli.PrintManifests(o.Out, objects)
}

// Show prints the findings and, when nothing stands in the way, the plan.
func (o *Options) Show(c *v1alpha1.Cluster, p *Plan) error {
	bad := nodes.Blocking(p.Findings)
	p.OK = len(bad) == 0
	if o.Output == cli.OutputJSON {
		p.Steps = []cli.PlanStep{}
		for _, s := range p.Plan.Steps {
			p.Steps = append(p.Steps, cli.PlanStep{ID: s.ID, Title: s.Title, Host: s.Host, After: s.After, Skip: s.Skip})
		}
		if p.Findings == nil {
			p.Findings = []nodes.Finding{}
		}
		if err := cli.WriteJSONLine(o.Out, p); err != nil {
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

func (o *Options) showText(c *v1alpha1.Cluster, p *Plan) error {
	if p.OK {
		if err := cli.PrintPlan(o.Out, cli.StyleFor(o.Out), c, p.Plan); err != nil {
			return err
		}
	}
	var found []report.Finding
	for _, f := range p.Findings {
		one := report.Finding{Node: f.Node, Check: f.Check, Severity: report.SeverityWarning, Message: f.Message, Hint: f.Hint}
		if f.Blocks {
			one.Severity = report.SeverityError
		}
		found = append(found, one)
	}
	if err := cli.PrintFindings(o.Out, cli.StyleFor(o.Out), found); err != nil || !o.DryRun || !p.OK {
		return err
	}
	_, err := fmt.Fprintf(o.Out, "A dry run: nothing was changed. %s to do.\n", report.Plural(len(p.Plan.Pending()), "step", "steps"))
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

// Plan is what -o json prints, and what is shown.
type Plan struct {
	Cluster  string          `json:"cluster"`
	OK       bool            `json:"ok"`
	Steps    []cli.PlanStep  `json:"plan"`
	Findings []nodes.Finding `json:"findings"`

	Plan plan.Plan
}

// Inside adds an Operation's steps to a plan.
func (p *Plan) Inside(steps []v1alpha1.StepStatus, before ...plan.Step) {
	p.Plan.Steps = append(p.Plan.Steps, before...)
	for _, s := range steps {
		one := plan.Step{ID: s.ID, Title: s.Title, Host: s.Node, After: s.After}
		if s.State == v1alpha1.StepSkipped {
			one.Skip = s.Message
		}
		if !s.Cleanup {
			p.Plan.Steps = append(p.Plan.Steps, one)
		}
	}
}
