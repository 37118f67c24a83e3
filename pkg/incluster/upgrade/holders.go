package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

const (
	// holdersTimeout bounds the gate: an address that is moving has moved long before.
	holdersTimeout = 3 * time.Minute
	// holderTimeout bounds the look at one host, holderInterval is between two rounds.
	holderTimeout  = time.Minute
	holderInterval = time.Second
)

// oneHolder waits until exactly one control plane has the virtual IP on an interface. Each
// host is asked by a Job, since whoever asks the address itself sees one of two only.
func oneHolder(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	for round := 1; ; round++ {
		holders, err := holders(ctx, t, round)
		if err == nil && len(holders) == 1 {
			return engine.Outcome{Message: holders[0] + " has it"}, nil
		}
		seen := "no control plane has it"
		switch {
		case err != nil:
			seen = err.Error()
		case len(holders) > 1:
			seen = strings.Join(holders, " and ") + " have it at the same time"
		}
		select {
		case <-ctx.Done():
			return engine.Outcome{}, fmt.Errorf("waiting for exactly one control plane to have the virtual IP, last seen: %s: %w\nnext: look at journalctl -u keepalived -u kubectl-ha-vip on the control planes and resume, or abort",
				seen, context.Cause(ctx))
		case <-time.After(holderInterval):
			t.Progress("%s", seen)
		}
	}
}

// holders asks all control planes at once.
func holders(ctx context.Context, t engine.Turn, round int) ([]string, error) {
	hosts := t.Cluster.ControlPlanes()
	held, failed := make([]bool, len(hosts)), make([]error, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() { held[i], failed[i] = holds(ctx, t, h, round) })
	}
	all.Wait()
	var out []string
	for i, h := range hosts {
		if held[i] {
			out = append(out, h.Name)
		}
	}
	return out, errors.Join(failed...)
}

func holds(ctx context.Context, t engine.Turn, h v1alpha1.Host, round int) (held bool, err error) {
	t.Step.Job = engine.JobName(t.Operation.Name, fmt.Sprintf("%s/%s/%d", t.Step.ID, h.Name, round), t.Step.Attempt)
	t.Step.Node = h.Name
	look := engine.NodeTask{
		Request: func(context.Context, engine.Turn) (node.Request, error) {
			return request(tasks.HoldsVIP, holderTimeout, vip.LookSpec{})
		},
		LostAfter: holderTimeout,
		Message: func(r node.Result) string {
			var d vip.DrainData
			err, held = json.Unmarshal(r.Data, &d), d.Held
			return ""
		},
	}
	if _, ran := look.Run(ctx, t); ran != nil {
		return false, ran
	}
	if err != nil {
		err = fmt.Errorf("%s: what it says of the virtual IP can't be read: %w", h.Name, err)
	}
	return held, err
}
