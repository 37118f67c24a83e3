package upgrade

import (
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// A control plane's turn, for other Operations that restart its apiserver: the virtual IP is
// elsewhere meanwhile.

// TurnSteps carry out what Away, Back and Restore have planned.
func TurnSteps() map[string]engine.Step {
	return map[string]engine.Step{
		stepVIPAway:    task(drainVIP(true), saying("it is elsewhere")),
		stepHolders:    engine.Func{Do: oneHolder, Timeout: holdersTimeout},
		stepVIPBack:    task(drainVIP(false), saying("it may come back")),
		stepVIPRestore: restoreVIP{},
	}
}

// Elsewhere is a task on a control plane that is to happen while the virtual IP is elsewhere:
// when it is begun anew, the address is moved away again first.
func Elsewhere(t engine.NodeTask) engine.Step { return elsewhere{t} }

// Away is the step that moves the virtual IP away from a node. It is left out, and so are the
// others, where Cluster.MovesVirtualIP says that there is nothing to move.
func Away(node string, after ...string) v1alpha1.StepStatus {
	s := onNode(stepVIPAway, node, "move the virtual IP away from "+node, after...)
	s.UndoneBy = id(stepVIPRestore, node)
	return s
}

// Back are the steps that let a node have it again, and see that exactly one has it.
func Back(node string, after ...string) []v1alpha1.StepStatus {
	p := &planner{last: after}
	p.vipBack(node)
	return p.steps
}

// Restore is the clean-up of a turn that was not finished.
func Restore(node string) v1alpha1.StepStatus {
	s := onNode(stepVIPRestore, node, "let "+node+" have the virtual IP again, if it may not")
	s.Cleanup = true
	return s
}

// Settled waits until a node that went away is heard of again, before a task is begun on it.
func Settled(t engine.NodeTask) engine.NodeTask { return task(t.Request, t.Message) }
