package report

import "fmt"

// Severity says whether a finding stands in the way.
type Severity string

// The severities.
const (
	// SeverityError: nothing is begun while it is there, or what was looked at is broken.
	SeverityError Severity = "error"
	// SeverityWarning: it works, but one had better know.
	SeverityWarning Severity = "warning"
)

// Finding is one thing that was found by a look at hosts or at a cluster.
type Finding struct {
	// Check is the stable name of the check that found it.
	Check string `json:"check"`
	// Node is the host or node that it is about; empty when it concerns several, or the cluster.
	Node     string   `json:"node,omitempty"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	// Hint says what to do; it may be empty.
	Hint string `json:"hint,omitempty"`
}

// String is one line without the hint.
func (f Finding) String() string {
	where := ""
	if f.Node != "" {
		where = f.Node + ": "
	}
	return fmt.Sprintf("%s: %s%s (%s)", f.Severity, where, f.Message, f.Check)
}
