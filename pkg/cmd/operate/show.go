package operate

import (
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// document is a plan as -o json prints it.
type document struct {
	Cluster  string          `json:"cluster"`
	OK       bool            `json:"ok"`
	Steps    []cli.PlanStep  `json:"plan"`
	Findings []nodes.Finding `json:"findings"`
}

// Show prints the findings and, when nothing stands in the way, the plan.
func (o *Options) Show(p *operate.Plan) error {
	if !o.Output.ForPrograms() {
		return o.showText(p)
	}
	d := document{Cluster: p.Cluster.Metadata.Name, OK: p.Refused() == nil, Steps: []cli.PlanStep{}, Findings: append([]nodes.Finding{}, p.Findings...)}
	for _, s := range p.Steps {
		d.Steps = append(d.Steps, cli.PlanStep{ID: s.ID, Title: s.Title, Host: s.Host, After: s.After, Skip: s.Skip})
	}
	return o.Output.PrintLine(o.Out, d)
}

func (o *Options) showText(p *operate.Plan) error {
	steps, ok := plan.Plan{Steps: p.Steps}, p.Refused() == nil
	if ok {
		if err := cli.PrintPlan(o.Out, cli.StyleFor(o.Out), p.Cluster, steps); err != nil {
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
	if err := cli.PrintFindings(o.Out, cli.StyleFor(o.Out), found); err != nil || !o.DryRun || !ok {
		return err
	}
	_, err := fmt.Fprintf(o.Out, "Dry run: nothing was changed. %s to do.\n", report.Plural(len(steps.Pending()), "step", "steps"))
	return err
}
