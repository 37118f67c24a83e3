package upgrade

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// othersTimeout is how long what is not well is waited for before the next control
// plane is taken away.
const othersTimeout = 5 * time.Minute

// others waits until every etcd member, and every control plane but the step's own,
// is well.
func others(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	self := nodeName(t)
	err := engine.Until(ctx, t, "the other control planes and etcd to be well", func(ctx context.Context) (string, error) {
		servers, etcd, _ := endpoints(ctx, t.Clients.Config, t.Cluster)
		var waits []string
		for _, e := range servers {
			if e.Error != "" && e.Node != self {
				waits = append(waits, fmt.Sprintf("the apiserver of %s: %s", e.Node, e.Error))
			}
		}
		for _, e := range etcd {
			if e.Error != "" {
				waits = append(waits, fmt.Sprintf("the etcd member on %s: %s", e.Node, e.Error))
			}
		}
		return strings.Join(waits, "; "), nil
	})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("%w\nnext: nothing was done to %s; see to the others and resume, or abort", err, self)
	}
	return engine.Outcome{}, nil
}

// preflight looks at the cluster once more, from inside, when nothing has been done yet.
// Evictions are not tried again: each drain has its own time for that.
func preflight(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	if err := alone(ctx, t); err != nil {
		return engine.Outcome{}, err
	}
	o, err := Observe(ctx, t.Clients, t.Cluster, Look{Inside: true})
	if err != nil {
		return engine.Outcome{}, err
	}
	all := Check(t.Cluster, t.Operation.Spec.Upgrade, o, time.Now())
	// Whether the disk or a certificate is good enough has been asked a person.
	blocking := Blocking(all, CheckDisk, CheckCertificates)
	if len(blocking) > 0 {
		return engine.Outcome{}, refusal(blocking)
	}
	return engine.Outcome{Message: fmt.Sprintf("%d nodes", len(t.Cluster.Nodes()))}, nil
}

// alone refuses to begin beside another Operation: one that was applied as a manifest
// has not been asked before.
func alone(ctx context.Context, t engine.Turn) error {
	all, err := operations.New(t.Clients.Dynamic).List(ctx)
	if err != nil {
		return err
	}
	for _, op := range all {
		// The oldest first; of two the older one goes on.
		if op.Name == t.Operation.Name {
			return nil
		}
		if operations.Unfinished(op) {
			return fmt.Errorf("operation %s (%s) is not finished\nnext: resume this one once it is; nothing was changed", op.Name, op.Spec.Type)
		}
	}
	return nil
}

func refusal(blocking []Finding) error {
	var out []string
	for _, f := range blocking {
		out = append(out, f.String())
	}
	return fmt.Errorf("the upgrade is not begun: %s\nnext: see to it and resume, or abort; nothing was changed", strings.Join(out, "; "))
}

// host is the document's host of the step's node.
func host(t engine.Turn) (v1alpha1.Host, error) {
	name := nodeName(t)
	h, ok := t.Cluster.Host(name)
	if !ok {
		return h, fmt.Errorf("the stored Cluster document has no host %s", name)
	}
	return h, nil
}
