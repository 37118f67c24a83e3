package incluster_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// A login that has ended ends the watch: asking on would be for ever, without a word.
func TestWatchEndsWithTheLogin(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		if _, err := w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`)); err != nil {
			t.Error(err)
		}
	}))
	defer api.Close()
	ops, err := incluster.NewOperations(&rest.Config{Host: api.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = ops.Watch(ctx, "upgrade-x", report.SinkFunc(func(report.Event) {}))
	if !apierrors.IsUnauthorized(err) {
		t.Errorf("got %v", err)
	}
}
