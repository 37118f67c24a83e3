package cli

import (
	"fmt"
	"io"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// findingEvent is a finding as an event: what stands in the way has failed.
func findingEvent(f bootstrap.Finding) report.Event {
	e := report.Event{Host: f.Host, Step: "preflight/" + f.Check, Hint: f.Hint}
	if f.Severity == bootstrap.Error {
		e.Kind, e.Title, e.Error = report.StepFailed, f.Check, f.Message
		return e
	}
	e.Kind, e.Message = report.Warning, f.Message
	return e
}

// PrintFindings prints what preflight found, what stands in the way first. The
// same finding on several hosts is one.
func PrintFindings(w io.Writer, style report.Style, findings []bootstrap.Finding) error {
	for _, severity := range []bootstrap.Severity{bootstrap.Error, bootstrap.Warning} {
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
func together(findings []bootstrap.Finding) []bootstrap.Finding {
	var out []bootstrap.Finding
	for _, f := range findings {
		same := slices.IndexFunc(out, func(o bootstrap.Finding) bool {
			o.Host = f.Host
			return o == f
		})
		if same >= 0 && f.Host != "" && out[same].Host != "" {
			out[same].Host += ", " + f.Host
			continue
		}
		out = append(out, f)
	}
	return out
}

// Count tells how many findings stand in the way and how many are warnings.
func Count(findings []bootstrap.Finding) (inTheWay, warnings int) {
	for _, f := range findings {
		if f.Severity == bootstrap.Error {
			inTheWay++
		} else {
			warnings++
		}
	}
	return inTheWay, warnings
}
