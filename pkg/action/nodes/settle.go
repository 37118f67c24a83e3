package nodes

import (
	"context"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// settles is how long a host that does not answer may take to count as lost: 50 seconds
// since the node controller last heard of its kubelet, and as much once more when that
// controller was on the host and had to begin elsewhere, and a little.
const settles = 3 * time.Minute

// settleInterval is the time between two looks.
const settleInterval = 2 * time.Second

// settled looks at the cluster until the old host is either there or counts as lost: the
// order of all that follows depends on it.
func settled(ctx context.Context, old string, observe func(context.Context) (nodes.Observation, error), sink report.Sink) (nodes.Observation, error) {
	begun, told := time.Now(), false
	for {
		seen, err := observe(ctx)
		if err != nil {
			return seen, action.OfCluster(err)
		}
		why := unsettled(seen, old)
		if why == "" {
			return seen, nil
		}
		if time.Since(begun) > settles {
			return seen, action.As(action.Findings, fmt.Errorf("%s is not healthy (%s), but its kubelet is alive: repair it, or switch it off permanently, and run this again; nothing was changed", old, why))
		}
		if !told {
			action.Tell(sink, "%s does not respond (%s): waiting until it comes back or counts as lost", old, why)
			told = true
		}
		select {
		case <-ctx.Done():
			return seen, context.Cause(ctx)
		case <-time.After(settleInterval):
		}
	}
}

// unsettled says why a node does not answer that does not count as lost either; empty when it is
// well, lost, or no node. It is pure.
func unsettled(seen nodes.Observation, name string) string {
	n, isNode := seen.Nodes[name]
	switch {
	case !isNode || n.Lost != "":
		return ""
	case n.NotReady != "":
		return n.NotReady
	}
	return seen.EtcdAway[name]
}
