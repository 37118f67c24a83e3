package restore

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/restore"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TakeBack goes back to the data that an interrupted restore has put aside, on all its members. Of
// two restores that were begun at once it takes back what was only prepared. It can be run again
// wherever it was interrupted.
func TakeBack(ctx context.Context, o Options, sink report.Sink) (Plan, error) {
	lost, err := o.absent()
	if err != nil {
		return Plan{}, err
	}
	r := &Restore{Options: o, sink: sink, Plan: Plan{Lost: lost, Members: o.members()}}
	r.wait = r.apiReady
	if err := r.look(ctx); err != nil {
		return r.Plan, err
	}
	steps, err := r.back(ctx)
	if err != nil {
		return r.Plan, err
	}
	return r.Plan, r.carryOut(ctx, "take-back/", steps)
}

// back are the steps of taking back what was begun.
func (r *Restore) back(ctx context.Context) ([]step, error) {
	all := begun(r.looks)
	if len(all) > 1 {
		return r.forget(ctx, all)
	}
	start := []step{
		{"start etcd", func() error { return r.each(ctx, r.hosts(names(r.Cluster.EtcdMembers())), restore.Start, stepTimeout) }},
		{"start the rest", func() error {
			return errors.Join(r.each(ctx, r.planes(), restore.Serve, stepTimeout), r.each(ctx, r.others(), restore.Serve, stepTimeout))
		}},
	}
	if len(all) == 0 {
		if !r.stopped() {
			return nil, action.Invalidf("no restore is unfinished on these hosts; to go back behind one that is through, see docs/disaster-recovery.md")
		}
		// It was taken back already but for this, or was interrupted before anything was staged.
		return start, nil
	}
	s, err := unfinished(r.looks)
	if err != nil {
		return nil, err
	}
	r.Plan.ID = s.ID
	if through(r.looks, s.ID) {
		return nil, action.Invalidf("the restore %s is through, and only not noted on %s: run it again, which does that; to go back behind it, see docs/disaster-recovery.md", s.ID, strings.Join(all[s.ID], ", "))
	}
	if err := r.canGoBack(s); err != nil {
		return nil, err
	}
	var know, others []v1alpha1.Host
	for _, h := range r.hosts(names(r.Cluster.EtcdMembers())) {
		if slices.Contains(all[s.ID], h.Name) {
			know = append(know, h)
		} else {
			others = append(others, h)
		}
	}
	return append([]step{
		{"stop the apiservers", func() error { return r.each(ctx, r.planes(), restore.StopAPI, stepTimeout) }},
		// Those that remember the restore come last: from them the next run knows of it.
		{"put the data back", func() error {
			if err := r.each(ctx, others, restore.TakeBack, stepTimeout); err != nil {
				return err
			}
			return r.each(ctx, know, restore.TakeBack, stepTimeout)
		}},
	}, start...), nil
}

// stopped tells whether the apiserver of a host was stopped by a restore.
func (r *Restore) stopped() bool {
	for _, l := range r.looks {
		if len(l.Manifests) > 0 {
			return true
		}
	}
	return false
}

// forget takes back, of several restores, those that have exchanged nobody's data.
func (r *Restore) forget(ctx context.Context, all map[string][]string) ([]step, error) {
	var out []step
	var ids []string
	for _, id := range sortedKeys(all) {
		if slices.ContainsFunc(all[id], func(name string) bool { s := r.looks[name]; return s.State.Swapped || slices.Contains(s.AsideOf, id) }) {
			continue
		}
		ids = append(ids, id)
		out = append(out, step{"forget " + id, func() error {
			return action.Each(r.hosts(all[id]), func(_ int, h v1alpha1.Host) error {
				spec := r.spec(h)
				spec.ID = id
				_, err := r.step(ctx, h, restore.TakeBack, stepTimeout, spec)
				return err
			})
		}})
	}
	if len(ids) == 0 {
		return nil, action.Invalidf("the hosts are in different restores, %s, and each has exchanged data: which of it is the right one can't be told; see docs/disaster-recovery.md for going back by hand", strings.Join(sortedKeys(all), " and "))
	}
	r.Plan.ID = strings.Join(ids, ", ")
	return out, nil
}

func names(hosts []v1alpha1.Host) (out []string) {
	for _, h := range hosts {
		out = append(out, h.Name)
	}
	return out
}

// canGoBack refuses when members that were exchanged have nothing to go back to: with too many of
// them the others would have no quorum.
func (r *Restore) canGoBack(s *restore.State) error {
	var without []string
	for _, name := range r.Plan.Members {
		l := r.looks[name]
		if l.State != nil && l.State.Swapped && !slices.Contains(l.AsideOf, s.ID) {
			without = append(without, name)
		}
	}
	if len(without) > 0 {
		return action.Invalidf("the restore %s can't be taken back: %s had no data before it; run it again to go on with it", s.ID, strings.Join(without, ", "))
	}
	return nil
}
