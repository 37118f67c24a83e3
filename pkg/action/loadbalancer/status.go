package loadbalancer

import (
	"context"
	"fmt"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
)

// StatusOptions say which cluster is looked at.
type StatusOptions struct {
	To *operate.Connection
}

// RunStatus looks at the load balancer. When it is not as it should be, the status comes with an
// error of the kind action.Findings.
func RunStatus(ctx context.Context, o StatusOptions) (*loadbalancer.Status, error) {
	seen, err := loadbalancer.Look(ctx, o.To.Clients, o.To.Stored)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	return seen, judge(seen)
}

// judge is the error of a status that has problems. It is pure.
func judge(s *loadbalancer.Status) error {
	if len(s.Problems) == 0 {
		return nil
	}
	return action.As(action.Findings, fmt.Errorf("the load balancer has problems:\n%s", strings.Join(s.Problems, "\n")))
}
