package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func TestPrintSteps(t *testing.T) {
	steps := []v1alpha1.StepStatus{{ID: "a", Title: "apply a"}, {ID: "b/cp1", Title: "configure", Node: "cp1"}, {ID: "c/cp1", Title: "restart cp1", Node: "cp1", Message: "it is not ready"}}
	var out strings.Builder
	if err := PrintSteps(&out, Output{}, steps); err != nil || out.String() != "  apply a\n  configure (on cp1)\n  restart cp1\n    skipped: it is not ready\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	out.Reset()
	asJSON, err := ParseOutput("json", Formats{})
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Plan []v1alpha1.StepStatus }
	if err := PrintSteps(&out, asJSON, steps); err != nil || json.Unmarshal([]byte(out.String()), &back) != nil || len(back.Plan) != 3 || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

// TestHostFindings: the names are part of the interface, and none is a list as well.
func TestHostFindings(t *testing.T) {
	for want, found := range map[string][]report.Finding{
		`[]`: nil,
		`[{"host":"cp1","check":"ports","severity":"error","message":"m","hint":"h"}]`: {{Node: "cp1", Check: "ports", Severity: report.SeverityError, Message: "m", Hint: "h"}},
		`[{"check":"cluster-file","severity":"warning","message":"m"}]`:                {{Check: "cluster-file", Severity: report.SeverityWarning, Message: "m"}},
	} {
		if got, err := json.Marshal(HostFindings(found)); err != nil || string(got) != want {
			t.Errorf("got %s, %v", got, err)
		}
	}
}
