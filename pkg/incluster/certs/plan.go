package certs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	taskcerts "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// The kinds of steps: the part of a step's ID before the slash.
const (
	StepWell    = "well"
	stepInstall = "install"
	stepRenew   = "renew"
	StepGate    = "gate"
)

// Plan is the turn of each node, one after the other. It is pure.
func Plan(spec *v1alpha1.RenewCertificatesSpec, c *v1alpha1.Cluster) ([]v1alpha1.StepStatus, error) {
	if spec == nil || len(spec.Nodes) == 0 {
		return nil, errors.New("the operation names no certificates to renew")
	}
	var steps []v1alpha1.StepStatus
	then := func(id, node, title string) {
		s := v1alpha1.StepStatus{ID: id, Node: node, Title: title, State: v1alpha1.StepPending}
		if len(steps) > 0 {
			s.After = []string{steps[len(steps)-1].ID}
		}
		steps = append(steps, s)
	}
	then(StepWell, "", "see that all apiservers and etcd members are well")
	seen := map[string]bool{}
	for _, n := range spec.Nodes {
		if _, ok := c.Host(n.Name); !ok || seen[n.Name] {
			return nil, fmt.Errorf("%s is named twice, or is no host of the stored Cluster document", n.Name)
		}
		seen[n.Name] = true
		if err := taskcerts.Known(append(append([]string{}, n.Signed...), n.Local...)); err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
		if len(n.Signed) > 0 {
			then(stepInstall+"/"+n.Name, n.Name, "exchange "+strings.Join(n.Signed, ", ")+" of "+n.Name)
		}
		if len(n.Local) > 0 {
			then(stepRenew+"/"+n.Name, n.Name, "renew "+strings.Join(n.Local, ", ")+" of "+n.Name)
		}
		then(StepGate+"/"+n.Name, "", "see that "+n.Name+" and all else is well")
	}
	return steps, nil
}
