package incluster

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestStoredClusterHasNoLogin: a proxy's password is not stored in the cluster,
// and the caller's own document keeps it.
func TestStoredClusterHasNoLogin(t *testing.T) {
	c := &v1alpha1.Cluster{}
	c.Spec.Proxy = v1alpha1.Proxy{HTTPProxy: "http://me:secret@proxy.example:3128", HTTPSProxy: "http://proxy.example:3129"}
	stored, err := documentObjects(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored) != 1 {
		t.Fatalf("it is stored in %v", stored)
	}
	text, err := stored[0].MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"secret", "me:"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q is stored: %s", secret, text)
		}
	}
	for _, kept := range []string{"http://proxy.example:3128", "http://proxy.example:3129"} {
		if !strings.Contains(string(text), kept) {
			t.Errorf("%q is not stored: %s", kept, text)
		}
	}
	if !strings.Contains(c.Spec.Proxy.HTTPProxy, "secret") {
		t.Error("the caller's document was changed")
	}
}
