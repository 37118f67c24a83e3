package uninstall

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestAdoptedIsRefused: what of its hosts others made nobody knows here, and the way out is named.
func TestAdoptedIsRefused(t *testing.T) {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Endpoint: v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: "api.example:6443"}}}
	if err := Check(Options{Cluster: c, NoSnapshot: true}); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "adopt --release") {
		t.Errorf("%v", err)
	}
	if err := Check(Options{Cluster: &v1alpha1.Cluster{}, NoSnapshot: true}); err != nil {
		t.Errorf("one of ours: %v", err)
	}
}
