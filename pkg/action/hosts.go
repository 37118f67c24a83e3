package action

import (
	"errors"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// OfHosts gives an error of SSH its kind, when it is about what can't be reached.
func OfHosts(err error) error {
	var e *ssh.Error
	if errors.As(err, &e) && e.Kind != ssh.Config && e.Kind != ssh.Agent && e.Kind != ssh.NoRoom {
		return As(Unreachable, err)
	}
	return err
}

// OfFindings is nil when none of the findings about hosts stands in the way. Else its kind is
// Unreachable when a host can't be reached, and Findings otherwise. What is found is not in its
// message.
func OfFindings(findings []report.Finding) error {
	bad := 0
	for _, f := range findings {
		if f.Severity == report.SeverityError {
			bad++
		}
	}
	if bad == 0 {
		return nil
	}
	return As(kindOf(findings), fmt.Errorf("%s; nothing was changed", report.Plural(bad, "blocking issue", "blocking issues")))
}

// kindOf is the kind of findings of which at least one stands in the way.
func kindOf(findings []report.Finding) Kind {
	for _, f := range findings {
		if f.Severity == report.SeverityError && f.Check == "connection" {
			return Unreachable
		}
	}
	return Findings
}

// OfRun gives an error of a run over SSH its kind, unless it has one, and says below it how to
// go on, as WithHint does.
func OfRun(err error) error {
	if err == nil {
		return nil
	}
	kind, out := KindOf(err), WithHint(err)
	var found *bootstrap.PreflightError
	var other *bootstrap.OtherCA
	switch {
	case kind != "":
		return out
	case errors.As(err, &found):
		return As(kindOf(found.Findings), out)
	case errors.Is(err, bootstrap.ErrLocked), errors.As(err, &other):
		return As(Invalid, out)
	}
	return OfHosts(out)
}

// WithHint is an error with what to do about it below it, where it knows that itself
// (plan.Explained). One that has it there already stays as it is.
func WithHint(err error) error {
	var before *explained
	var more plan.Explained
	if errors.As(err, &before) || !errors.As(err, &more) {
		return err
	}
	_, hint := more.Explain()
	if hint == "" {
		return err
	}
	return &explained{err, hint}
}

// explained is an error with what to do about it.
type explained struct {
	err  error
	hint string
}

// Error is the error with the hint below it.
func (e *explained) Error() string { return e.err.Error() + "\n" + e.hint }

// Unwrap is the error.
func (e *explained) Unwrap() error { return e.err }
