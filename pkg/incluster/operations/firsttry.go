package operations

import "github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"

// FirstTries names, of each kind that begins with a backup, the oldest Operation since the last one
// that went through: what it has backed up is the cluster as it was before anything that is not done
// yet, and is not to be pruned, whoever makes the next backup. All Operations are given with the
// oldest first. It is pure.
func FirstTries(all []v1alpha1.Operation) []string {
	var out []string
	for _, isOne := range []func(v1alpha1.OperationSpec) bool{
		func(s v1alpha1.OperationSpec) bool { return s.Upgrade != nil },
		func(s v1alpha1.OperationSpec) bool { return s.Etcd != nil },
	} {
		first := ""
		for _, op := range all {
			switch {
			case !isOne(op.Spec):
			case op.Status.Phase == v1alpha1.OperationSucceeded:
				first = ""
			case first == "":
				first = op.Name
			}
		}
		if first != "" {
			out = append(out, first)
		}
	}
	return out
}
