package operate

import (
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// document is a plan as -o json prints it.
type document struct {
	Cluster  string         `json:"cluster"`
	OK       bool           `json:"ok"`
	Steps    []plan.Step    `json:"plan"`
	Findings []plan.Finding `json:"findings"`
}

// Show prints the findings and, when nothing stands in the way, the plan.
func (o *Options) Show(p *operate.Plan) error {
	if !o.Output.ForPrograms() {
		return o.showText(p)
	}
	// [] for programs, not null.
	d := document{Cluster: p.Cluster.Metadata.Name, OK: p.Refused() == nil, Steps: append([]plan.Step{}, p.Steps...), Findings: append([]plan.Finding{}, p.Findings...)}
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
		found = append(found, f.Report())
	}
	if err := cli.PrintFindings(o.Out, cli.StyleFor(o.Out), found); err != nil || !o.DryRun || !ok {
		return err
	}
	_, err := fmt.Fprintf(o.Out, "Dry run: nothing was changed. %s to do.\n", report.Plural(len(steps.Pending()), "step", "steps"))
	return err
}
