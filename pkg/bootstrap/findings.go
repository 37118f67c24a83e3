package bootstrap

import (
	"fmt"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// PreflightError are the findings that stand in the way, all of them.
type PreflightError struct{ Findings []report.Finding }

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
func errorsOf(findings []report.Finding) error {
	var bad []report.Finding
	for _, f := range findings {
		if f.Severity == report.SeverityError {
			bad = append(bad, f)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return &PreflightError{Findings: bad}
}
