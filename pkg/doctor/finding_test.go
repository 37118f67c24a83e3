package doctor

import (
	"encoding/json"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestFindingForPrograms: the names are part of the interface, and whoever finds is not in it.
func TestFindingForPrograms(t *testing.T) {
	for want, f := range map[string]Finding{
		`{"state":"problem","node":"cp1","found":"f","hint":"m","fix":"CoreDNS"}`: problem("cp1", "f", "m").fixedBy(v1alpha1.RepairFix("CoreDNS")),
		`{"state":"warning","found":"f","hint":"m","addon":"dashboard"}`:          warning("", "f", "m").renewing("dashboard"),
	} {
		f.Check = "dns-spread"
		if got, err := json.Marshal(Result{Findings: []Finding{f}}.Findings[0]); err != nil || string(got) != want {
			t.Errorf("got %s, %v", got, err)
		}
	}
}
