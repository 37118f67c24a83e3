package doctor

import (
	"encoding/json"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Finding is one thing that a check found, with what `--fix` does about it.
type Finding struct {
	report.Finding
	// Fix is the fix that is carried out; empty when there is none.
	Fix v1alpha1.RepairFix
	// Addon is one that is installed again; empty when none is.
	Addon string
}

// finding is about a node, or with an empty one about the cluster.
func finding(severity report.Severity, node, found, hint string) Finding {
	return Finding{Finding: report.Finding{Node: node, Severity: severity, Message: found, Hint: hint}}
}

func problem(node, found, hint string) Finding {
	return finding(report.SeverityError, node, found, hint)
}

func warning(node, found, hint string) Finding {
	return finding(report.SeverityWarning, node, found, hint)
}

func (f Finding) fixedBy(fix v1alpha1.RepairFix) Finding {
	f.Fix = fix
	return f
}

func (f Finding) renewing(addon string) Finding {
	f.Addon = addon
	return f
}

// State is Warning or Problem.
func (f Finding) State() State {
	if f.Severity == report.SeverityError {
		return Problem
	}
	return Warning
}

// MarshalJSON keeps the names that doctor's findings have for programs: docs/scripting.md.
func (f Finding) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		State State              `json:"state"`
		Node  string             `json:"node,omitempty"`
		Found string             `json:"found"`
		Hint  string             `json:"hint,omitempty"`
		Fix   v1alpha1.RepairFix `json:"fix,omitempty"`
		Addon string             `json:"addon,omitempty"`
	}{f.State(), f.Node, f.Message, f.Hint, f.Fix, f.Addon})
}
