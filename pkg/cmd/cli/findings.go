package cli

import (
	"fmt"
	"io"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// FileFindings makes findings of a Cluster file's warnings.
func FileFindings(warnings []v1alpha1.FieldWarning) []bootstrap.Finding {
	var out []bootstrap.Finding
	for _, w := range warnings {
		out = append(out, bootstrap.Finding{Check: "cluster-file", Severity: bootstrap.Warning, Message: w.String()})
	}
	return out
}

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

// FindingsError is nil when nothing stands in the way. Its message was shown
// with the findings. A host that can't be reached has an exit code of its own.
func FindingsError(findings []bootstrap.Finding) error {
	kind, bad := action.Findings, 0
	for _, f := range findings {
		if f.Severity != bootstrap.Error {
			continue
		}
		bad++
		if f.Check == "connection" {
			kind = action.Unreachable
		}
	}
	if bad == 0 {
		return nil
	}
	return action.As(kind, fmt.Errorf("%s in the way; nothing was changed", report.Plural(bad, "thing stands", "things stand")))
}
