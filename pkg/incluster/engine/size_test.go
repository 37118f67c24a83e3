package engine

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestFits: a plan that is let through fits into an object when all of its steps have ended, with
// names as long as those of an upgrade; one that is much larger is refused before anything is done.
func TestFits(t *testing.T) {
	const etcdLimit = 1536 << 10
	for _, c := range []struct {
		steps int
		fits  bool
	}{{6, true}, {638, true}, {3038, true}, {5438, false}, {30038, false}} {
		var steps []v1alpha1.StepStatus
		for i := range c.steps {
			node := fmt.Sprintf("worker-%04d.example.org", i)
			s := v1alpha1.StepStatus{ID: "uncordon/" + node, Node: node, Title: "let pods onto " + node + " again", State: v1alpha1.StepPending}
			if i > 0 {
				s.After = []string{steps[i-1].ID}
			}
			steps = append(steps, s)
		}
		err := fits(steps)
		if (err == nil) != c.fits {
			t.Errorf("%d steps: %v", c.steps, err)
		}
		at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		for i := range steps {
			steps[i].State, steps[i].Attempt, steps[i].StartedAt, steps[i].FinishedAt = v1alpha1.StepSucceeded, 1, &at, &at
			steps[i].Job = JobName("upgrade-20260102t030405z-abcde", steps[i].ID, 1)
			steps[i].Message = "done"
		}
		raw, marshalled := json.Marshal(steps)
		if marshalled != nil {
			t.Fatal(marshalled)
		}
		if err == nil && len(raw) > etcdLimit*95/100 {
			t.Errorf("%d steps are let through, and have %d bytes in the end", c.steps, len(raw))
		}
	}
}
