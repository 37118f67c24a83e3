package operations

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// learning is for how long an apiserver may refuse what it will allow: one that has just
// started, and has the virtual IP already, answers before it has read all roles.
const learning = 30 * time.Second

// Patience tells a refusal of an apiserver that is still starting from one that is meant:
// that one lasts.
type Patience struct{ since time.Time }

// Bears tells whether it makes sense to ask again after this error. Any other answer
// than a refusal begins the time anew.
func (p *Patience) Bears(err error, now time.Time) bool {
	if !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
		p.since = time.Time{}
		return false
	}
	if p.since.IsZero() {
		p.since = now
	}
	return now.Sub(p.since) < learning
}
