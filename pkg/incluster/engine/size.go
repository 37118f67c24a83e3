package engine

import (
	"encoding/json"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const (
	// maxPlan bounds a plan as it will be when all of its steps have ended, in bytes of JSON. etcd
	// refuses a request of more than 1.5 MiB (https://etcd.io/docs/v3.6/dev-guide/limit/), and an
	// Operation is one object.
	maxPlan = 1400 << 10
	// grows is what a step that ends well gets besides: its Job, two times, an attempt, and a line.
	grows = 140
)

// fits refuses a plan that could be begun, but whose progress could not be written down any more in
// its middle.
func fits(steps []v1alpha1.StepStatus) error {
	raw, err := json.Marshal(steps)
	if err != nil {
		return fmt.Errorf("encode the plan: %w", err)
	}
	size := len(raw) + grows*len(steps)
	if size <= maxPlan {
		return nil
	}
	return fmt.Errorf("its %d steps are more than can be kept in one object of the API: about %d KiB, and %d KiB is the most. Nothing was begun: the cluster has too many nodes for an operation of this kind", len(steps), size>>10, maxPlan>>10)
}
