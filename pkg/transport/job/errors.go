package job

import "fmt"

// LostError says that an attempt's pod went away, with its node or by
// somebody's hand, so that nobody knows how the task ended.
type LostError struct {
	Node, Job string
	// Seen is what was last seen.
	Seen string
}

// Error names node, Job and what was last seen.
func (e *LostError) Error() string {
	return fmt.Sprintf("the task on %s was lost, nobody knows how it ended (job %s, last seen: %s); see whether the node is up, then resume", e.Node, e.Job, e.Seen)
}

// Lost is true.
func (e *LostError) Lost() bool { return true }

// StartError says that the pod can't start; nothing ran.
type StartError struct {
	Node, Job, Reason, Hint string
}

// Error says why, and what to do next.
func (e *StartError) Error() string {
	return fmt.Sprintf("the task can't start on %s (job %s): %s\nnext: %s", e.Node, e.Job, e.Reason, e.Hint)
}

// DeadlineError says that the task had not ended at its deadline.
type DeadlineError struct {
	Node, Job string
	Seen      string
	// NodeState is the node's own condition, since a dead node is the usual cause.
	NodeState string
}

// Error names node, Job, and what was last seen of both.
func (e *DeadlineError) Error() string {
	return fmt.Sprintf("the task on %s did not end in time (job %s, last seen: %s; the node: %s); bring the node back, then resume", e.Node, e.Job, e.Seen, e.NodeState)
}
