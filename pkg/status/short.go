package status

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// short says in a few words why something did not answer.
func short(err error) string {
	var timeout net.Error
	var wrapped *url.Error
	switch {
	case err == nil:
		return ""
	case apierrors.IsForbidden(err):
		return "your login has no right to it"
	case apierrors.IsUnauthorized(err):
		return "it does not know your login"
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return "no answer within " + probeTimeout.String()
	case errors.Is(err, io.EOF):
		return "the connection was ended"
	case failedChecks(err.Error()) != "":
		return failedChecks(err.Error())
	case errors.As(err, &wrapped):
		return short(wrapped.Err)
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// failedChecks are those of an apiserver's /readyz that failed, of an answer that
// lists all: [-]etcd failed: reason withheld.
// https://kubernetes.io/docs/reference/using-api/health-checks/#individual-health-checks
func failedChecks(answer string) string {
	var failed []string
	for i, part := range strings.Split(answer, "[-]") {
		if name, _, ok := strings.Cut(part, " failed"); ok && i > 0 {
			failed = append(failed, name)
		}
	}
	if len(failed) == 0 {
		return ""
	}
	return "failed checks: " + strings.Join(failed, ", ")
}
