package operations

import (
	"errors"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestPatience(t *testing.T) {
	refused := fmt.Errorf("read: %w", apierrors.NewForbidden(schema.GroupResource{Resource: "operations"}, "a", nil))
	unknown := fmt.Errorf("read: %w", apierrors.NewUnauthorized("Unauthorized"))
	start := time.Unix(0, 0)
	var p Patience
	for i, tc := range []struct {
		err   error
		after time.Duration
		want  bool
	}{
		{nil, 0, false}, {errors.New("other"), 0, false},
		{refused, 0, true}, {refused, 20 * time.Second, true}, {refused, 31 * time.Second, false},
		// An answer in between, and it begins anew.
		// One that has just started may not know the caller, either.
		{unknown, 32 * time.Second, false}, {nil, 32 * time.Second, false}, {unknown, 32 * time.Second, true},
		{nil, 32 * time.Second, false}, {refused, 33 * time.Second, true}, {refused, 62 * time.Second, true}, {refused, 64 * time.Second, false},
	} {
		if got := p.Bears(tc.err, start.Add(tc.after)); got != tc.want {
			t.Errorf("%d: %v after %s: %v", i, tc.err, tc.after, got)
		}
	}
}
