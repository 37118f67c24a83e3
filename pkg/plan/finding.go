package plan

import "github.com/kubectl-ha/kubectl-ha/pkg/report"

// Finding is something that was noticed about a plan: it stands in its way, or one should know it.
type Finding struct {
	// Node is empty for the whole cluster.
	Node string `json:"node,omitempty"`
	// Check is the stable name of the check that noticed it.
	Check   string `json:"check"`
	Message string `json:"message"`
	// Hint says what to do about it; may be empty.
	Hint string `json:"hint,omitempty"`
	// Blocks says that nothing is done because of it.
	Blocks bool `json:"blocks"`
}

// String is the finding in a line.
func (f Finding) String() string {
	s := f.Message
	if f.Node != "" {
		s = f.Node + ": " + s
	}
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	return s
}

// Report is the finding as those of hosts and clusters are.
func (f Finding) Report() report.Finding {
	severity := report.SeverityWarning
	if f.Blocks {
		severity = report.SeverityError
	}
	return report.Finding{Node: f.Node, Check: f.Check, Severity: severity, Message: f.Message, Hint: f.Hint}
}
