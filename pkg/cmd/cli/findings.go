package cli

import (
	"fmt"
	"io"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// HostFinding is a finding about a host, as -o json prints it.
type HostFinding struct {
	Host     string          `json:"host,omitempty"`
	Check    string          `json:"check"`
	Severity report.Severity `json:"severity"`
	Message  string          `json:"message"`
	Hint     string          `json:"hint,omitempty"`
}

// HostFindings are findings for -o json; none is [].
func HostFindings(findings []report.Finding) []HostFinding {
	out := []HostFinding{}
	for _, f := range findings {
		out = append(out, HostFinding{Host: f.Node, Check: f.Check, Severity: f.Severity, Message: f.Message, Hint: f.Hint})
	}
	return out
}

// findingEvent is a finding as an event: what stands in the way has failed.
func findingEvent(f report.Finding) report.Event {
	e := report.Event{Host: f.Node, Step: "preflight/" + f.Check, Hint: f.Hint}
	if f.Severity == report.SeverityError {
		e.Kind, e.Title, e.Error = report.StepFailed, f.Check, f.Message
		return e
	}
	e.Kind, e.Message = report.Warning, f.Message
	return e
}

// PrintFindings prints what preflight found, what stands in the way first. The
// same finding on several hosts is one.
func PrintFindings(w io.Writer, style report.Style, findings []report.Finding) error {
	for _, severity := range []report.Severity{report.SeverityError, report.SeverityWarning} {
		for _, f := range together(findings) {
			if f.Severity != severity {
				continue
			}
			for _, line := range style.Lines(findingEvent(f)) {
				if _, err := fmt.Fprintln(w, line); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// together makes one finding of the same one on several hosts.
func together(findings []report.Finding) []report.Finding {
	var out []report.Finding
	for _, f := range findings {
		same := slices.IndexFunc(out, func(o report.Finding) bool {
			o.Node = f.Node
			return o == f
		})
		if same >= 0 && f.Node != "" && out[same].Node != "" {
			out[same].Node += ", " + f.Node
			continue
		}
		out = append(out, f)
	}
	return out
}
