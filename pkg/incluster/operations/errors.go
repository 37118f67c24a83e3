package operations

import (
	"errors"
	"io"
	"net"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Unreachable tells whether a request got no answer about itself: the network,
// a busy, starting or stopping apiserver.
func Unreachable(err error) bool {
	if err == nil {
		return false
	}
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonTimeout, metav1.StatusReasonServerTimeout, metav1.StatusReasonTooManyRequests,
		metav1.StatusReasonServiceUnavailable, metav1.StatusReasonInternalError:
		return true
	}
	var network net.Error
	var at *url.Error
	return errors.As(err, &at) || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Overtaken tells whether somebody else wrote the object in between, so that
// it makes sense to read it again; not when he owns a field that was applied.
func Overtaken(err error) bool {
	return (apierrors.IsConflict(err) && !apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict)) || apierrors.IsAlreadyExists(err)
}
