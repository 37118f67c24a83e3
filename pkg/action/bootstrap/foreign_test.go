package bootstrap

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestAdoptedIsRefused: a bootstrap would set up a virtual IP beside an endpoint that others keep.
func TestAdoptedIsRefused(t *testing.T) {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Endpoint: v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "api.example:6443"}}}
	if err := Check(Options{Cluster: c, Kubeconfig: t.TempDir() + "/x"}); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "spec.endpoint") {
		t.Errorf("%v", err)
	}
}
