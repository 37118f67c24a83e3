package plan

import (
	"encoding/json"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestFinding: the names in JSON are part of the interface, and what blocks is an error.
func TestFinding(t *testing.T) {
	for _, tc := range []struct {
		f          Finding
		text, json string
		severity   report.Severity
	}{
		{Finding{Node: "cp1", Check: "quorum", Message: "no quorum", Hint: "wait", Blocks: true}, "cp1: no quorum (wait)",
			`{"node":"cp1","check":"quorum","message":"no quorum","hint":"wait","blocks":true}`, report.SeverityError},
		{Finding{Check: "etcd", Message: "even"}, "even", `{"check":"etcd","message":"even","blocks":false}`, report.SeverityWarning},
	} {
		data, err := json.Marshal(tc.f)
		if err != nil || string(data) != tc.json || tc.f.String() != tc.text {
			t.Errorf("%s, %s, %v", tc.f, data, err)
		}
		if r := tc.f.Report(); r != (report.Finding{Node: tc.f.Node, Check: tc.f.Check, Severity: tc.severity, Message: tc.f.Message, Hint: tc.f.Hint}) {
			t.Errorf("%+v", r)
		}
	}
}

// TestStepInJSON: what carries a step out, and its input, which may be a secret, is not printed.
func TestStepInJSON(t *testing.T) {
	s := Step{ID: "etcd/cp1", Title: "start", Host: "cp1", After: []string{"a"}, Task: "etcd", Spec: "secret", Settings: "x", Timeout: 1, Skip: "done"}
	data, err := json.Marshal([]Step{s, {ID: "b", Title: "t"}})
	if want := `[{"id":"etcd/cp1","title":"start","host":"cp1","after":["a"],"skip":"done"},{"id":"b","title":"t"}]`; err != nil || string(data) != want {
		t.Errorf("%s, %v", data, err)
	}
}
