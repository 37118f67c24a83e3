package upgrade

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// NoGroup is the group of workers without the label. No label has such a value.
const NoGroup = "(none)"

// group are workers that come together, at most so many at once.
type group struct {
	// name is the label's value; empty where all workers are one group.
	name   string
	hosts  []v1alpha1.Host
	atOnce int
}

// groups are the workers in the order in which they come, by the label's values; those without it are
// the last. How many may be out at once counts in each group by itself. It is pure.
func groups(c *v1alpha1.Cluster, spec *v1alpha1.UpgradeSpec, o Observation) ([]group, error) {
	if _, err := maxFailures(spec.MaxFailures, len(c.Workers())); err != nil {
		return nil, err
	}
	var out []group
	for _, h := range c.Workers() {
		name := ""
		if spec.By != "" {
			if name = o.Nodes[h.Name].Labels[spec.By]; name == "" {
				name = NoGroup
			}
		}
		at := slices.IndexFunc(out, func(g group) bool { return g.name == name })
		if at < 0 {
			at, out = len(out), append(out, group{name: name})
		}
		out[at].hosts = append(out[at].hosts, h)
	}
	slices.SortStableFunc(out, func(a, b group) int {
		switch {
		case a.name == b.name:
			return 0
		case a.name == NoGroup:
			return 1
		case b.name == NoGroup:
			return -1
		}
		return strings.Compare(a.name, b.name)
	})
	if len(out) == 0 {
		out = []group{{}} // What is wrong with the number is said all the same.
	}
	for i := range out {
		var err error
		if out[i].atOnce, err = abreast(spec.MaxUnavailable, len(out[i].hosts)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// abreast is how many workers are out at the same time: a number, or a percentage
// rounded down, but at least one.
func abreast(most string, workers int) (int, error) {
	if most == "" {
		most = v1alpha1.DefaultMaxUnavailable
	}
	n, err := part(most, workers)
	if err != nil || n == 0 && !strings.HasSuffix(most, "%") || strings.TrimLeft(most, "0") == "%" {
		return 0, fmt.Errorf("at most %q nodes unavailable: write a number such as 1, or a percentage such as 25%%", most)
	}
	return max(n, 1), nil
}

// maxFailures is how many workers may fail: a number, or a percentage rounded down.
func maxFailures(most string, workers int) (int, error) {
	if most == "" {
		most = v1alpha1.DefaultMaxFailures
	}
	n, err := part(most, workers)
	if err != nil {
		return 0, fmt.Errorf("at most %q nodes failed: write a number such as 0, or a percentage such as 1%%", most)
	}
	return n, nil
}

// part is a number, or a percentage of all rounded down.
func part(text string, all int) (int, error) {
	number, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseUint(number, 10, 16)
	switch {
	case err != nil:
		return 0, err
	case !percent:
		return int(n), nil
	case n > 100:
		return 0, strconv.ErrRange
	}
	return all * int(n) / 100, nil
}

// checkGroups names what in the numbers is not what was meant, probably. It stands in no one's way.
func checkGroups(c *v1alpha1.Cluster, spec *v1alpha1.UpgradeSpec, o Observation) []Finding {
	all, err := groups(c, spec, o)
	if err != nil || len(c.Workers()) == 0 || spec.Only == v1alpha1.UpgradeControlPlanes {
		return nil // The plan says what is wrong with a number.
	}
	var out []Finding
	if len(all) == 1 && all[0].name == NoGroup {
		out = append(out, Finding{Check: CheckNodes, Message: fmt.Sprintf("no worker has the label %s, so all of them are one group", spec.By), Hint: "kubectl get nodes --show-labels shows which labels there are"})
	}
	failures, _ := maxFailures(spec.MaxFailures, len(c.Workers())) // groups has parsed it.
	least := slices.MinFunc(all, func(a, b group) int { return a.atOnce - b.atOnce }).atOnce
	if failures > 0 && least <= failures {
		out = append(out, Finding{Check: CheckNodes, Message: fmt.Sprintf("%d workers may fail, but no more than %d may be out, and one that has failed stays out: the upgrade pauses once %d have failed", failures, least, least),
			Hint: "allow more with --max-unavailable than with --max-failures"})
	}
	return out
}

// workers are the turns of workers, a group after the other: as many at once as may be out, the next one
// as soon as one has ended.
func (p *planner) workers(nodes []NodePlan, groups []group) {
	failures, _ := maxFailures(p.spec.MaxFailures, len(p.c.Workers())) // Nodes has parsed it.
	for _, g := range groups {
		turns := slices.DeleteFunc(slices.Clone(nodes), func(n NodePlan) bool { return n.ControlPlane || n.Turn == 0 || n.Group != g.name })
		if len(turns) == 0 {
			continue
		}
		s := step(stepWorkers, fmt.Sprintf("begin with the workers: %d, at most %d at once", len(turns), g.atOnce), p.last...)
		if g.name != "" {
			s.ID, s.Title = id(stepWorkers, g.name), fmt.Sprintf("begin with the workers of %s %s: %d, at most %d at once", p.spec.By, g.name, len(turns), g.atOnce)
		}
		s.Turns = &v1alpha1.TurnBounds{AtOnce: int32(g.atOnce), MaxFailures: int32(failures)}
		// So that it is looked again when an Operation that failed is resumed; and so that a
		// coordinator of a version that knows no such step begins with no worker.
		s.UndoneBy = stepUncordoned
		opened := p.add(s)
		for _, n := range turns {
			drained := p.drain(n.Node, opened)
			p.kubelet(n, []string{drained})
			p.add(step(id(stepUncordon, n.Node), "let pods onto "+n.Node+" again", p.gate(n)))
		}
		p.last = []string{v1alpha1.AfterTurns}
	}
}

// begun waits until all workers that have had their turn are ready: a group that did not take its
// upgrade well must not be followed by the next.
func begun(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	had := had(t.Operation.Status.Steps)
	err := engine.Until(ctx, t, "the workers that have had their turn to be ready", func(context.Context) (string, error) {
		unready := t.Unready()
		if unready == nil {
			return "it is not known yet which nodes are ready", nil
		}
		var waits []string
		for _, name := range had {
			if why := unready[name]; why != "" && len(waits) < mostTold {
				waits = append(waits, name+": "+why)
			}
		}
		return strings.Join(waits, "; "), nil
	})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("%w\nnext: nothing was done to any other worker; see to these and resume, or abort", err)
	}
	if len(had) == 0 {
		return engine.Outcome{}, nil
	}
	return engine.Outcome{Message: fmt.Sprintf("%d had their turn and are ready", len(had))}, nil
}

// had are the workers whose turn has ended well. It is pure.
func had(steps []v1alpha1.StepStatus) []string {
	opened := false
	var out []string
	for _, s := range steps {
		kind, node, _ := strings.Cut(s.ID, "/")
		opened = opened || kind == stepWorkers
		if opened && kind == stepUncordon && s.State == v1alpha1.StepSucceeded {
			out = append(out, node)
		}
	}
	return out
}
