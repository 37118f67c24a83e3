package doctor

import (
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// State is how a check ended.
type State string

// The states. Skipped: what it needs could not be seen.
const (
	OK      State = "ok"
	Warning State = "warning"
	Problem State = "problem"
	Skipped State = "skipped"
)

// Check is one thing that is looked at.
type Check struct {
	// ID is stable: etcd-version.
	ID string
	// Title says in a few words what is to be so.
	Title string
	// Why says what happens otherwise; Source is where that was seen.
	Why, Source string
	// Files says that it needs what only the hosts' files tell.
	Files bool
	// Document says that it needs to know the cluster's hosts and endpoint.
	Document bool
	// Reads is the part of Objects that it goes by, if any.
	Reads Part
	// Fix is what `--fix` does about what it finds, if anything.
	Fix v1alpha1.RepairFix
	// Reinstalls says that `--fix` installs the addon again that it finds something of.
	Reinstalls bool
	// Run finds what is not so. It is pure.
	Run func(in Input) []Finding
}

// Result is a check's outcome.
type Result struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	Why      string    `json:"why"`
	Source   string    `json:"source,omitempty"`
	State    State     `json:"state"`
	Findings []Finding `json:"findings,omitempty"`
	// Skipped says why it could not be looked at.
	Skipped string `json:"skipped,omitempty"`
}

// Input is what checks go by.
type Input struct {
	Cluster *v1alpha1.Cluster
	Report  status.Report
	Objects Objects
	// Inspection is empty when the hosts' files were not looked at.
	Inspection status.Inspection
	// Ours says that the stored Cluster document is there: kubectl-ha runs Operations here.
	Ours bool
}

// Checks lists all, in the order in which they are shown.
func Checks() []Check {
	var all []Check
	for _, part := range [][]Check{endpointChecks(), balancerChecks(), addressChecks(), etcdChecks(), nodeChecks(), ownChecks(), addonChecks()} {
		all = append(all, part...)
	}
	return all
}

// Examine runs all checks. It is pure.
func Examine(in Input) []Result {
	var out []Result
	for _, c := range Checks() {
		r := Result{ID: c.ID, Title: c.Title, Why: c.Why, Source: c.Source, State: OK}
		if r.Skipped = unseen(c, in); r.Skipped != "" {
			r.State = Skipped
			out = append(out, r)
			continue
		}
		r.Findings = c.Run(in)
		for i := range r.Findings {
			f := &r.Findings[i]
			f.Check = c.ID
			if state := f.State(); state == Problem || r.State == OK {
				r.State = state
			}
		}
		out = append(out, r)
	}
	return out
}

// unseen says why a check can't be made: what was not seen is not in order.
func unseen(c Check, in Input) string {
	switch {
	case c.Document && in.Cluster == nil:
		return "the cluster's hosts and endpoint are not known: `kubectl ha adopt --virtual-ip ADDRESS` names them"
	case c.Files && len(in.Inspection.Facts) == 0 && !in.Ours:
		return "the hosts' files are looked at by a task, for which `kubectl ha adopt` has to come first"
	case c.Files && len(in.Inspection.Facts) == 0:
		return "the hosts' files were not looked at"
	case c.Reads != "" && in.Objects.Unread[c.Reads] != "":
		return fmt.Sprintf("%s: %s", c.Reads, in.Objects.Unread[c.Reads])
	}
	return ""
}

// Fixes are those that the findings name, each once, in the order of the findings.
func Fixes(results []Result) []v1alpha1.RepairFix {
	var out []v1alpha1.RepairFix
	seen := map[v1alpha1.RepairFix]bool{}
	for _, r := range results {
		for _, f := range r.Findings {
			if f.Fix != "" && !seen[f.Fix] {
				seen[f.Fix] = true
				out = append(out, f.Fix)
			}
		}
	}
	return out
}
