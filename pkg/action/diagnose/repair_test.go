package diagnose

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// installed is an addon's installation that notes that it has begun.
type installed struct{ note func(what string) }

func (i installed) Planned() []v1alpha1.StepStatus { return []v1alpha1.StepStatus{{ID: "apply"}} }

func (i installed) Begin(context.Context, report.Sink) (*incluster.Operations, string, error) {
	i.note("begin addons")
	return nil, "addons", nil
}

// TestRepairInOrder: addons come after the fixes have ended, nothing begins without a yes or in a dry
// run, and only the last Operation may be left.
func TestRepairInOrder(t *testing.T) {
	for name, tc := range map[string]struct {
		fixes, addons, dryRun bool
		// fails is where it fails.
		fails, want string
	}{
		"nothing":            {want: ""},
		"fixes":              {fixes: true, want: "confirm, begin fixes, watch fixes last"},
		"addons":             {addons: true, want: "confirm, plan addons, steps, begin addons, watch addons last"},
		"both":               {fixes: true, addons: true, want: "confirm, begin fixes, watch fixes, plan addons, steps, begin addons, watch addons last"},
		"a dry run":          {fixes: true, addons: true, dryRun: true, want: "plan addons, steps"},
		"a dry run of fixes": {fixes: true, dryRun: true, want: ""},
		"declined":           {fixes: true, addons: true, fails: "confirm", want: "confirm"},
		"fixes can't begin":  {fixes: true, addons: true, fails: "begin fixes", want: "confirm, begin fixes"},
		"fixes fail":         {fixes: true, addons: true, fails: "watch fixes", want: "confirm, begin fixes, watch fixes"},
		"no plan for addons": {addons: true, fails: "plan addons", want: "confirm, plan addons"},
	} {
		var done []string
		failed := errors.New("failed")
		note := func(what string) error {
			done = append(done, what)
			if what == tc.fails {
				return failed
			}
			return nil
		}
		r := Repair{fixes: tc.fixes, addons: tc.addons}
		if tc.fixes || tc.addons {
			r.Names = []string{"something"}
		}
		r.fix = func(context.Context, report.Sink) (*incluster.Operations, string, error) {
			return nil, "fixes", note("begin fixes")
		}
		r.renew = func(context.Context, func(*v1alpha1.Cluster) (string, error)) (renewal, error) {
			return installed{func(what string) { done = append(done, what) }}, note("plan addons")
		}
		err := r.Run(t.Context(), RepairOptions{DryRun: tc.dryRun,
			Confirm: func(context.Context) error { return note("confirm") },
			Steps:   func([]v1alpha1.StepStatus) error { return note("steps") },
			Watch: func(_ context.Context, _ *incluster.Operations, name string, last bool) error {
				if last {
					name += " last"
				}
				return note("watch " + name)
			}}, report.Discard())
		if got := strings.Join(done, ", "); got != tc.want || (err != nil) != (tc.fails != "") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}
