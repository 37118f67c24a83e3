package action

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

func finding(check string, s report.Severity) report.Finding {
	return report.Finding{Node: "cp1", Check: check, Severity: s, Message: "m", Hint: "h"}
}

// TestOfFindings: what stands in the way is an error, and a host that can't be reached has a
// kind of its own.
func TestOfFindings(t *testing.T) {
	warning, bad, away := finding("swap", report.SeverityWarning), finding("ports", report.SeverityError), finding("connection", report.SeverityError)
	for name, tc := range map[string]struct {
		found []report.Finding
		kind  Kind
		says  string // empty: no error
	}{
		"nothing":        {nil, "", ""},
		"a warning":      {[]report.Finding{warning}, "", ""},
		"one":            {[]report.Finding{warning, bad}, Findings, "1 blocking issue; nothing was changed"},
		"one is away":    {[]report.Finding{bad, away}, Unreachable, "2 blocking issues; nothing was changed"},
		"only a warning": {[]report.Finding{finding("connection", report.SeverityWarning), bad}, Findings, "1 blocking issue"},
	} {
		err := OfFindings(tc.found)
		if (err == nil) != (tc.says == "") || KindOf(err) != tc.kind || err != nil && !strings.HasPrefix(err.Error(), tc.says) {
			t.Errorf("%s: %q, %v", name, KindOf(err), err)
		}
	}
}

// TestOfRun: an error gets the kind that is its own, unless it has one, and its hint once.
func TestOfRun(t *testing.T) {
	failed := &bootstrap.TaskError{Host: "w1"}
	failed.Failure.Message, failed.Failure.Hint = "etcd does not stop", "look at it"
	refused := &ssh.Error{Host: "w1", Kind: ssh.LoginRefused, Message: "refused"}
	for name, tc := range map[string]struct {
		err  error
		kind Kind
		says string
	}{
		"a task":          {failed, "", "w1: etcd does not stop\nlook at it"},
		"a task, wrapped": {fmt.Errorf("on the way: %w", failed), "", "on the way: w1: etcd does not stop\nlook at it"},
		"not ready":       {&bootstrap.PreflightError{Findings: []report.Finding{finding("ports", report.SeverityError)}}, Findings, ""},
		"not there":       {&bootstrap.PreflightError{Findings: []report.Finding{finding("connection", report.SeverityError)}}, Unreachable, ""},
		"another run":     {fmt.Errorf("begin: %w", bootstrap.ErrLocked), Invalid, ""},
		"SSH":             {refused, Unreachable, ""},
		"with a kind":     {As(Invalid, refused), Invalid, ""},
		"anything":        {errors.New("disk full"), "", "disk full"},
	} {
		err := OfRun(tc.err)
		if KindOf(err) != tc.kind || !errors.Is(err, tc.err) || tc.says != "" && err.Error() != tc.says {
			t.Errorf("%s: %q, %v", name, KindOf(err), err)
		}
		if again := OfRun(err); again.Error() != err.Error() || KindOf(again) != tc.kind {
			t.Errorf("%s, again: %q, %v", name, KindOf(again), again)
		}
	}
	if err := OfRun(nil); err != nil {
		t.Error(err)
	}
}
