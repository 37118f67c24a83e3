package bootstrap

import (
	"fmt"
	"strings"
)

// Severity says whether a finding stands in the way.
type Severity string

// The severities.
const (
	// Error: nothing is begun while it is there.
	Error Severity = "error"
	// Warning: it works, but one had better know.
	Warning Severity = "warning"
)

// Finding is one thing that preflight found.
type Finding struct {
	// Host is where; empty when it concerns several.
	Host string `json:"host,omitempty"`
	// Check is the stable name of the check that found it.
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	// Hint says what to do.
	Hint string `json:"hint,omitempty"`
}

// String is one line without the hint.
func (f Finding) String() string {
	where := ""
	if f.Host != "" {
		where = f.Host + ": "
	}
	return fmt.Sprintf("%s: %s%s (%s)", f.Severity, where, f.Message, f.Check)
}

// PreflightError are the findings that stand in the way, all of them.
type PreflightError struct{ Findings []Finding }

// Error has a line per finding, and one for what to do about it.
func (e *PreflightError) Error() string {
	var b strings.Builder
	b.WriteString("the hosts are not ready; nothing was changed")
	for _, f := range e.Findings {
		fmt.Fprintf(&b, "\n  %s", f)
		if f.Hint != "" {
			fmt.Fprintf(&b, "\n    %s", f.Hint)
		}
	}
	return b.String()
}

// errorsOf returns an error when one of the findings is one.
func errorsOf(findings []Finding) error {
	var bad []Finding
	for _, f := range findings {
		if f.Severity == Error {
			bad = append(bad, f)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return &PreflightError{Findings: bad}
}
