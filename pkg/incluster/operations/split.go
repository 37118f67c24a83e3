package operations

import (
	"encoding/json"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Limits bound what is written to etcd at once, in bytes of JSON as the steps are once they have ended.
type Limits struct {
	// Whole is the most of a plan that an Operation has itself.
	Whole int
	// Part is the most of one part. With the Operation's own status it is what a step's change writes.
	Part int
}

// DefaultLimits keep the steps of some twenty nodes in the Operation, so that kubectl shows them where
// they are looked for.
func DefaultLimits() Limits { return Limits{Whole: 32 << 10, Part: 2 << 10} }

// grows is what a step that ends well gets besides: its Job, two times, an attempt, and a line.
const grows = 140

// split makes parts of a plan that is too large for the Operation; nil when it stays there. A part is
// larger than it should be only where a single step is. It is pure.
func (l Limits) split(steps []v1alpha1.StepStatus) ([][]v1alpha1.StepStatus, error) {
	var out [][]v1alpha1.StepStatus
	all, begin, in := 0, 0, 0
	for i := range steps {
		raw, err := json.Marshal(&steps[i])
		if err != nil {
			return nil, fmt.Errorf("encode the plan: %w", err)
		}
		n := len(raw) + grows
		all += n
		if in+n > l.Part && i > begin {
			out, begin, in = append(out, steps[begin:i:i]), i, 0
		}
		in += n
	}
	if all <= l.Whole {
		return nil, nil
	}
	return append(out, steps[begin:]), nil
}

// same tells whether nothing is to be written for a step. What a plan fixes stays as it is.
func same(a, b *v1alpha1.StepStatus) bool {
	return a.ID == b.ID && a.State == b.State && a.Attempt == b.Attempt && a.Job == b.Job && a.Message == b.Message &&
		a.StartedAt.Equal(b.StartedAt) && a.FinishedAt.Equal(b.FinishedAt)
}
