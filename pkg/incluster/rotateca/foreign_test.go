package rotateca

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestForeignEndpoint: an endpoint that others keep is not moved away, and the plan says what the
// apiservers' restarts cost there.
func TestForeignEndpoint(t *testing.T) {
	c := document(3, 1)
	c.Spec.Endpoint = v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "api.example:6443"}
	for authority, want := range map[string]bool{"service-account": true, "front-proxy": false} {
		steps, err := Plan(&v1alpha1.RotateAuthoritySpec{Authority: authority, Phase: "trust", From: "a", To: "b"}, c)
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		for _, s := range steps {
			if strings.HasPrefix(s.ID, "vip-") || strings.HasPrefix(s.ID, "one-holder") {
				t.Errorf("%s: the plan has a step %s", authority, s.ID)
			}
			if strings.HasPrefix(s.ID, stepRotate) && strings.Contains(s.Title, "api.example:6443 is not kubectl ha's") {
				told++
			}
		}
		if want && told != 3 || !want && told != 0 {
			t.Errorf("%s: %d of three turns tell what a restart costs", authority, told)
		}
	}
}
