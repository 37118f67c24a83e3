package remote

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestFirstReady: a control plane with an administrator's file and a dead or sick API server
// does not keep the next one from being asked.
func TestFirstReady(t *testing.T) {
	status := func(code int) *rest.Config {
		s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(code) }))
		t.Cleanup(s.Close)
		return &rest.Config{Host: s.URL}
	}
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	access := map[string]*rest.Config{"dead": {Host: dead.URL}, "sick": status(http.StatusInternalServerError), "well": status(http.StatusOK)}
	get := func(h v1alpha1.Host) (*rest.Config, error) {
		if config := access[h.Name]; config != nil {
			return config, nil
		}
		return nil, errors.New(h.Name + ": it has no admin.conf")
	}
	hosts := []v1alpha1.Host{{Name: "bare"}, {Name: "dead"}, {Name: "sick"}, {Name: "well"}}
	if config, from, err := firstReady(t.Context(), hosts, get); err != nil || from != "well" || config != access["well"] {
		t.Errorf("from %q: %v", from, err)
	}
	_, _, err := firstReady(t.Context(), hosts[:3], get)
	if err == nil {
		t.Fatal("no error without any that is ready")
	}
	for _, want := range []string{"bare: it has no admin.conf", "dead: its API server", "sick: its API server"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}
