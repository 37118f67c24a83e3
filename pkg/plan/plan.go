// Package plan holds ordered graphs of steps. A plan is a value: it is made by
// a pure function of what is wanted and what was observed, it can be printed,
// and the very same value is carried out.
package plan

import (
	"fmt"
	"time"
)

// Step is one thing to be done, on one host or for the whole cluster. In JSON it is what people read
// of it: how it is carried out, and its input, which may be a secret, are left out.
type Step struct {
	// ID is stable and unique in the plan: etcd/cp1.
	ID string `json:"id"`
	// Title is one line for people: "start etcd member".
	Title string `json:"title"`
	// Host is where, empty for the whole cluster.
	Host string `json:"host,omitempty"`
	// After are the IDs of the steps that must have ended well before.
	After []string `json:"after,omitempty"`
	// Task names what carries the step out; Spec is its input. What they mean
	// is up to whoever runs the plan.
	Task string `json:"-"`
	Spec any    `json:"-"`
	// Settings is a digest of what in Spec a later run would have to apply anew,
	// had it changed. May be empty.
	Settings string `json:"-"`
	// Timeout bounds one attempt. Zero: the runner's default.
	Timeout time.Duration `json:"-"`
	// Skip, when not empty, says why nothing is to be done; the step is shown
	// and counts as done.
	Skip string `json:"skip,omitempty"`
}

// Plan is a graph of steps, in an order in which they could run one by one.
type Plan struct {
	Steps []Step
	// Notes are what else there is to know before it is carried out, a line each.
	Notes []string
}

// Validate tells whether IDs are unique and every After names an earlier step,
// which makes a cycle impossible.
func (p Plan) Validate() error {
	seen := make(map[string]bool, len(p.Steps))
	for _, s := range p.Steps {
		if s.ID == "" || seen[s.ID] {
			return fmt.Errorf("plan: step id %q is empty or used twice", s.ID)
		}
		for _, a := range s.After {
			if !seen[a] {
				return fmt.Errorf("plan: step %q comes after %q, which is not before it in the plan", s.ID, a)
			}
		}
		seen[s.ID] = true
	}
	return nil
}

// Pending returns the steps that are not skipped.
func (p Plan) Pending() []Step {
	var out []Step
	for _, s := range p.Steps {
		if s.Skip == "" {
			out = append(out, s)
		}
	}
	return out
}
