package operate

import (
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Plan is what is to be done, and what was found.
type Plan struct {
	// Cluster is the document as it will be.
	Cluster *v1alpha1.Cluster
	// Steps are those outside of the cluster first. There are none when something stands in the way.
	Steps []plan.Step
	// Findings are what stands in the way, and what one should know.
	Findings []nodes.Finding
}

// Inside adds an Operation's steps, but those that only clean up after it.
func (p *Plan) Inside(steps []v1alpha1.StepStatus) {
	for _, s := range steps {
		if s.Cleanup {
			continue
		}
		one := plan.Step{ID: s.ID, Title: s.Title, Host: s.Node, After: s.After}
		if s.State == v1alpha1.StepSkipped {
			one.Skip = s.Message
		}
		p.Steps = append(p.Steps, one)
	}
}

// Refused is the error when something stands in the way, of the kind action.Findings; else nil.
// Its message only counts: Findings say what it is.
func (p *Plan) Refused() error {
	bad := nodes.Blocking(p.Findings)
	if len(bad) == 0 {
		return nil
	}
	return action.As(action.Findings, fmt.Errorf("%s; nothing was changed", report.Plural(len(bad), "blocking issue", "blocking issues")))
}
