package bootstrap

import (
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// LeftToMake tells whether a plan has anything pending beside what is looked
// at on every run.
func LeftToMake(p plan.Plan) bool {
	for _, s := range p.Pending() {
		switch s.Task {
		case StepJoin, StepKubeconfig, tasks.VIP:
		default:
			return true
		}
	}
	return false
}
