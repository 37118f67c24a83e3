package look

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/diagnose"
	"github.com/kubectl-ha/kubectl-ha/pkg/doctor"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestPrintDiagnosis: what was not looked at is counted apart, and why is said once.
func TestPrintDiagnosis(t *testing.T) {
	finding := doctor.Finding{Finding: report.Finding{Node: "cp2", Severity: report.SeverityError, Message: "refused", Hint: "start it"}}
	d := &diagnose.Diagnosis{Cluster: "demo", Unseen: []string{"operations: forbidden"}, Checks: []doctor.Result{
		{ID: "good", Title: "all is well", State: doctor.OK, Why: "not told"},
		{ID: "etcd-answers", Title: "etcd answers", Why: "there is no quorum", Source: "etcd", State: doctor.Problem, Findings: []doctor.Finding{finding}},
		{ID: "a", Title: "a file", State: doctor.Skipped, Skipped: "no agent"}, {ID: "b", Title: "another", State: doctor.Skipped, Skipped: "no agent"}}}
	var out strings.Builder
	if err := printDiagnosis(&out, report.Style{ASCII: true}, d); err != nil {
		t.Fatal(err)
	}
	want := `ok all is well (good)
!! etcd answers (etcd-answers)
    cp2: refused
      start it
    Why: there is no quorum (etcd)
-- a file (a)
-- another (b)
  not checked: operations: forbidden

Cluster demo: 1 problem, 0 warnings, 1 passed, 2 not checked:
  no agent
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}
