package action

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// Kind says what an error is about, so that whoever runs an action need not read its text.
type Kind string

// The kinds of errors. An error without a kind is a failure on the way: its message says what
// failed, where, and what to do next.
const (
	// Invalid: what was asked for, a file or a bundle is not right; nothing was changed.
	Invalid Kind = "Invalid"
	// Findings: what was looked at is not as it should be; what was asked for beyond the look
	// was not begun.
	Findings Kind = "Findings"
	// Unreachable: a host or the cluster can't be reached, or refuses the login.
	Unreachable Kind = "Unreachable"
	// Broken: the cluster does not serve: its API, or what that rests on.
	Broken Kind = "Broken"
	// Timeout: the time that was given has passed; what was begun goes on in the cluster.
	Timeout Kind = "Timeout"
)

// kinded is an error with its kind.
type kinded struct {
	kind Kind
	err  error
}

func (k *kinded) Error() string { return k.err.Error() }
func (k *kinded) Unwrap() error { return k.err }

// As gives an error its kind; nil stays nil.
func As(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return &kinded{kind: kind, err: err}
}

// Invalidf is an error about what the caller asked for.
func Invalidf(format string, args ...any) error { return As(Invalid, fmt.Errorf(format, args...)) }

// KindOf is the kind of an error: the outermost that it was given, else empty.
func KindOf(err error) Kind {
	var k *kinded
	if errors.As(err, &k) {
		return k.kind
	}
	return ""
}

// OfCluster gives an error of the API the kind that is its own.
func OfCluster(err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return As(Invalid, err)
	case apierrors.IsUnauthorized(err):
		return As(Unreachable, fmt.Errorf("the cluster rejects the credentials of your kubeconfig; they may have expired: %w", err))
	case operations.Unreachable(err):
		return As(Unreachable, fmt.Errorf("the cluster does not respond: %w", err))
	}
	return err
}
