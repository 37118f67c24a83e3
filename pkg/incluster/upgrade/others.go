package upgrade

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// othersTimeout is how long what is not well is waited for before the next control
// plane is taken away.
const othersTimeout = 5 * time.Minute

// mostTold is how many findings that are not in the way a step's message tells: each
// node may have one of its own, and the whole status is written often.
const mostTold = 20

// others waits until every etcd member, and every control plane but the step's own,
// is well.
func others(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	self := t.About()
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

// preflight looks at the whole cluster, from inside, when nothing has been done yet. A
// person may have looked before; of an Upgrade that was applied as a manifest nobody
// has. What may be passed over the spec says. The message names what else was noticed.
func preflight(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	spec := t.Operation.Spec.Upgrade
	wanted, err := ImagesOf(t.Cluster, spec.Version)
	if err != nil {
		return engine.Outcome{}, err
	}
	o, err := Observe(ctx, t.Clients, t.Cluster, Look{Inside: true, Evictions: spec, Metrics: true, Images: wanted})
	if err != nil {
		return engine.Outcome{}, err
	}
	all := Check(t.Cluster, spec, o, time.Now())
	if blocking := Blocking(all, spec.Ignore...); len(blocking) > 0 {
		return engine.Outcome{}, refusal(blocking)
	}
	message := fmt.Sprintf("%d nodes", len(t.Cluster.Nodes()))
	for i, f := range all {
		if i == mostTold {
			message += fmt.Sprintf("; and %d more findings", len(all)-i)
			break
		}
		message += "; " + f.String()
	}
	return engine.Outcome{Message: message}, nil
}

func refusal(blocking []Finding) error {
	var out, may []string
	for _, f := range blocking {
		out = append(out, f.String())
		if slices.Contains(Ignorable(), f.Check) && !slices.Contains(may, f.Check) {
			may = append(may, f.Check)
		}
	}
	next := "see to it and resume, or abort"
	if len(may) == len(checksOf(blocking)) {
		next += "; or abort, and begin anew with --ignore " + strings.Join(may, ",")
	}
	return fmt.Errorf("the upgrade is not begun: %s\nnext: %s; nothing was changed", strings.Join(out, "; "), next)
}

// checksOf are the checks that findings are of, each once.
func checksOf(findings []Finding) []string {
	var out []string
	for _, f := range findings {
		if !slices.Contains(out, f.Check) {
			out = append(out, f.Check)
		}
	}
	return out
}

// host is the document's host of the step's node.
func host(t engine.Turn) (v1alpha1.Host, error) {
	name := t.About()
	h, ok := t.Cluster.Host(name)
	if !ok {
		return h, fmt.Errorf("the stored Cluster document has no host %s", name)
	}
	return h, nil
}
