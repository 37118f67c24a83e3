package drain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

const (
	// interval is the time between two tries to evict what is left.
	interval = time.Second
	// least is what a drain has at least when a coordinator takes it over late.
	least = 30 * time.Second
	// forceTime is for the pods' own grace after a drain by force has deleted them.
	forceTime = 5 * time.Minute
)

// Drain is a drain of one node.
type Drain struct {
	Node string
	// Time is what its pods have to leave it.
	Time time.Duration
	// Force evicts what nothing makes again, and deletes what has not left in time.
	Force bool
	// DeleteEmptyDirData evicts pods whose data in emptyDir volumes ends with them.
	DeleteEmptyDirData bool
}

// Step is the Step that moves pods away. It may be ended in its middle: pods that
// have left are elsewhere by then, and the clean-up uncordons the node.
type Step struct {
	// Of says what is drained, by the turn.
	Of func(engine.Turn) Drain
}

// Interruptible is true: nobody has to wait for a drain of which the rest is not wanted.
func (Step) Interruptible() bool { return true }

// Run drains the node, and keeps its deadline over a change of coordinators. The
// outcome says how many pods have left, and names those that stay.
func (s Step) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	d := newDraining(s.Of(t), t.Step.StartedAt, time.Now())
	d.kube, d.progress = t.Clients.Kube, t.Progress
	return engine.Func{Timeout: d.Time + forceTime + time.Minute, Do: func(ctx context.Context, _ engine.Turn) (engine.Outcome, error) {
		// It is called again when the API did not answer; what is known by then stays known.
		return d.run(ctx)
	}}.Run(ctx, t)
}

// deadline is when a drain's time is up. A coordinator that takes over does not
// begin it anew, but has a little at least.
func deadline(started *metav1.Time, now time.Time, allowed time.Duration) time.Time {
	if started == nil || now.Sub(started.Time) < least {
		return now.Add(allowed)
	}
	until, soonest := started.Add(allowed), now.Add(least)
	if until.Before(soonest) {
		return soonest
	}
	return until
}

// draining is one drain under way.
type draining struct {
	Drain
	kube     kubernetes.Interface
	progress func(format string, args ...any)
	// since is when it began, until when it is late.
	since, until time.Time
	newcomers
	// had are the pods that had to leave, deleted those that were deleted by force.
	had, deleted map[types.UID]bool
}

func newDraining(d Drain, started *metav1.Time, now time.Time) *draining {
	out := &draining{Drain: d, since: now, until: deadline(started, now, d.Time), had: map[types.UID]bool{}, deleted: map[types.UID]bool{}}
	if started != nil {
		out.since = started.Time
	}
	return out
}

// run moves the pods away until none is left that has to leave. When the time is up, a
// drain by force deletes what is left, and any other fails and names what holds it up.
func (d *draining) run(ctx context.Context) (engine.Outcome, error) {
	for {
		all, err := Pods(ctx, d.kube, d.Node)
		if err != nil {
			return engine.Outcome{}, err
		}
		pods, stay := d.part(all, d.since)
		for _, p := range pods {
			d.had[p.UID] = true
		}
		if len(pods) == 0 {
			return engine.Outcome{Message: outcome(len(d.had), stay)}, nil
		}
		if err := d.refuse(pods); err != nil {
			return engine.Outcome{}, err
		}
		switch late := time.Now().After(d.until); {
		case !late:
			err = d.evictAll(ctx, pods)
		case d.Force:
			err = d.deleteAll(ctx, pods)
		default:
			err = d.tooLate(ctx, pods)
		}
		if err != nil {
			return engine.Outcome{}, err
		}
		select {
		case <-ctx.Done():
			return engine.Outcome{}, context.Cause(ctx)
		case <-time.After(interval):
		}
	}
}

// refuse says which pods kubectl would not move away without a flag that was not given.
func (d *draining) refuse(pods []Pod) error {
	var why []string
	if lone := Unmanaged(pods); len(lone) > 0 && !d.Force {
		why = append(why, fmt.Sprintf("on %s are pods that nothing would make again elsewhere: %s\nnext: delete or move them, then resume; or abort, and begin anew with --force-drain",
			d.Node, joined(lone)))
	}
	if local := Local(pods); len(local) > 0 && !d.DeleteEmptyDirData {
		why = append(why, fmt.Sprintf("on %s are pods with data in emptyDir volumes, which goes with them: %s\nnext: move what matters and delete them, then resume; or abort, and begin anew with --delete-emptydir-data",
			d.Node, joined(local)))
	}
	if len(why) == 0 {
		return nil
	}
	return errors.New(strings.Join(why, "\n"))
}

// evictAll asks each pod to leave that has not been asked, and shows what is
// waited for.
func (d *draining) evictAll(ctx context.Context, pods []Pod) error {
	leaving, waits := 0, ""
	for _, p := range pods {
		if p.Leaving() {
			leaving++
			continue
		}
		err := evict(ctx, d.kube, p, cmdutil.DryRunNone)
		switch {
		case err == nil:
			leaving++
			d.evicted(p)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case forbidden(err):
			return fmt.Errorf("evict pod %s: %w", p.Key(), err)
		default:
			waits = fmt.Sprintf("%s stays: %s", p.Key(), held(err))
		}
	}
	switch left := time.Until(d.until).Round(time.Second); {
	case waits != "":
		d.progress("%s (for %s more)", waits, left)
	case leaving > 0:
		d.progress("waiting for %s to leave (for %s more)", count(leaving), left)
	}
	return nil
}

// deleteAll deletes what is left, whatever budget it has, with its own grace.
func (d *draining) deleteAll(ctx context.Context, pods []Pod) error {
	var failed []error
	for _, p := range pods {
		if d.deleted[p.UID] {
			continue
		}
		d.progress("deleting %s, which has not left in time", p.Key())
		if err := deletePod(ctx, d.kube, p); err != nil {
			failed = append(failed, fmt.Errorf("delete pod %s: %w", p.Key(), err))
			continue
		}
		d.deleted[p.UID] = true
		d.evicted(p)
	}
	return errors.Join(failed...)
}

// tooLate says which pods are still there, and why.
func (d *draining) tooLate(ctx context.Context, pods []Pod) error {
	var left []string
	for _, p := range pods {
		why := "it was asked to and has not ended"
		if !p.Leaving() {
			why = "it may go now"
			if err := evict(ctx, d.kube, p, cmdutil.DryRunServer); err != nil {
				why = held(err)
			}
		}
		left = append(left, p.Key()+": "+why)
	}
	return fmt.Errorf("pods have not left %s in time: %s\nnext: see to the pods or their budgets, then resume; or abort, and begin anew with a longer --drain-timeout or with --force-drain",
		d.Node, strings.Join(left, "; "))
}

// outcome is a drain's end in a line.
func outcome(left int, stay []Pod) string {
	text := "no pod had to leave"
	switch {
	case left == 1:
		text = "1 pod has left"
	case left > 1:
		text = fmt.Sprintf("%d pods have left", left)
	}
	if len(stay) == 0 {
		return text
	}
	return fmt.Sprintf("%s; came after the cordon and would only come again, so it stays: %s", text, Some(names(stay, func(Pod) bool { return true })))
}

func count(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}

func joined(names []string) string { return strings.Join(slices.Sorted(slices.Values(names)), ", ") }
