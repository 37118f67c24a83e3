package uninstall

import (
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// StepSnapshot is the step that brings a last snapshot of etcd to this machine.
const StepSnapshot = "snapshot"

// The reasons for which nothing is done on a host.
const (
	skipBare        = "nothing of kubectl-ha is on it"
	skipUnreachable = "can't be reached, left for later"
	skipDone        = "done by an earlier run"
)

// snapshotSpec names the hosts with etcd's data, in the order in which they are asked.
type snapshotSpec struct{ Hosts []string }

// Inputs are what a plan is made of beside the cluster and its hosts.
type Inputs struct {
	// NoSnapshot: no snapshot is wanted.
	NoSnapshot bool
	// Taken is the file of a snapshot that an earlier run took, which left hosts for later.
	Taken string
	// Done are hosts that such a run has done: they need not be there any more.
	Done []string
	// Identity is what the cluster is known by on this machine, empty for none: the fingerprint of
	// its first etcd CA. EtcdCAs are those of the CAs that hosts may have.
	Identity string
	EtcdCAs  []string
	// Unidentified: hosts are taken of which only the name tells that they are the cluster's.
	Unidentified bool
}

// MakePlan is pure: a last snapshot of etcd, then all hosts at the same time. The
// error is a *bootstrap.PreflightError when hosts belong to another cluster, be it one of the
// same name, or when that can't be told.
func MakePlan(c *v1alpha1.Cluster, seen map[string]Seen, in Inputs) (plan.Plan, error) {
	bad := strangers(c, seen, in)
	snapshot := plan.Step{ID: StepSnapshot, Title: "take a last snapshot of etcd to this machine", Task: StepSnapshot}
	var members []string
	var steps []plan.Step
	for _, h := range c.Spec.Hosts {
		s := seen[h.Name]
		step := plan.Step{ID: tasks.Uninstall + "/" + h.Name, Title: "take everything back", Host: h.Name, After: []string{StepSnapshot},
			Task: tasks.Uninstall, Spec: uninstall.Spec{}, Timeout: uninstall.Timeout + lockWait}
		switch {
		case s.Err != nil && slices.Contains(in.Done, h.Name):
			step.Skip = skipDone
		case s.Err != nil:
			step.Skip = skipUnreachable
		case s.Cluster == "":
			step.Skip = skipBare
		case s.EtcdData:
			members = append(members, h.Name)
		}
		steps = append(steps, step)
	}
	if len(bad) > 0 {
		return plan.Plan{}, &bootstrap.PreflightError{Findings: bad}
	}
	snapshot.Spec = snapshotSpec{members}
	switch {
	case in.NoSnapshot:
		snapshot.Skip = "not wanted"
	case len(members) == 0:
		snapshot.Skip = "no host that can be reached has etcd's data"
	case in.Taken != "":
		snapshot.Skip = "an earlier run took it: " + in.Taken
	}
	return plan.Plan{Steps: append([]plan.Step{snapshot}, steps...)}, nil
}
