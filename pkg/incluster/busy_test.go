package incluster_test

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// TestBusy: who is refused is told the ways on; resume is one of them only while
// nothing carries the other Operation out.
func TestBusy(t *testing.T) {
	op := &v1alpha1.Operation{}
	op.Name, op.Spec.Type = "upgrade-x", v1alpha1.OperationUpgrade
	for phase, wants := range map[v1alpha1.OperationPhase]bool{"": true, v1alpha1.OperationRunning: false, v1alpha1.OperationPaused: false} {
		op.Status.Phase = phase
		got := operations.Busy(op).Error()
		if strings.Contains(got, "operation resume upgrade-x") != wants || !strings.Contains(got, "operation abort upgrade-x") {
			t.Errorf("%q: %s", phase, got)
		}
	}
}
