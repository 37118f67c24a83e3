package cli

import (
	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Interrupted is said at once when a signal comes.
func Interrupted() report.Event {
	return report.Event{Kind: report.Warning, Message: "interrupted: nothing new is begun, what runs on the hosts is let finish",
		Hint: "wait a moment, or press Ctrl-C again to leave at once; either way, running the same command again goes on"}
}

// FileFindings makes findings of a Cluster file's warnings.
func FileFindings(warnings []v1alpha1.FieldWarning) []bootstrap.Finding {
	var out []bootstrap.Finding
	for _, w := range warnings {
		out = append(out, bootstrap.Finding{Check: "cluster-file", Severity: bootstrap.Warning, Message: w.String()})
	}
	return out
}

// FindingsError is action.OfFindings.
func FindingsError(findings []bootstrap.Finding) error { return action.OfFindings(findings) }
