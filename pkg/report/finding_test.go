package report

import "testing"

func TestFindingInALine(t *testing.T) {
	for want, f := range map[string]Finding{
		"error: cp1: the port 6443 is taken (ports)": {Check: "ports", Node: "cp1", Severity: SeverityError, Message: "the port 6443 is taken", Hint: "end what listens there"},
		"warning: two members (cluster-file)":        {Check: "cluster-file", Severity: SeverityWarning, Message: "two members"},
	} {
		if got := f.String(); got != want {
			t.Errorf("got %s", got)
		}
	}
}
