package operations

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// What an answer about the request is, asking again does not change.
func TestTransient(t *testing.T) {
	gr := schema.GroupResource{Group: "kubectl-ha.dev", Resource: "operations"}
	_, unreadable := fromUnstructured(&unstructured.Unstructured{Object: map[string]any{"spec": "text"}})
	if unreadable == nil {
		t.Fatal("a spec that is a text can be read")
	}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"none":               {nil, false},
		"network":            {errors.New("connection refused"), true},
		"starting":           {apierrors.NewServiceUnavailable("starting"), true},
		"busy":               {apierrors.NewTooManyRequests("slow down", 1), true},
		"not found":          {apierrors.NewNotFound(gr, "x"), false},
		"forbidden":          {apierrors.NewForbidden(gr, "x", nil), false},
		"a login that ended": {fmt.Errorf("read: %w", apierrors.NewUnauthorized("Unauthorized")), false},
		"unreadable":         {fmt.Errorf("read: %w", unreadable), false},
	} {
		if got := Transient(c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
