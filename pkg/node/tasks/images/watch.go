package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// importIdle is how long containerd may take over one image once all bytes are there.
const importIdle = 30 * time.Minute

var (
	// errNobody is the end of a node's patience with others.
	errNobody = errors.New("nobody brings what is missing")
	// errIdle is the end of its patience with containerd.
	errIdle = errors.New("containerd does not finish")
)

// watch shows how far it is, and ends the task when nobody brings what it lacks, or
// when containerd hangs.
func (t *task) watch(ctx context.Context) error {
	tick := time.NewTicker(showInterval)
	defer tick.Stop()
	patience := watched{patience: cmp.Or(t.spec.Patience, DefaultPatience)}
	var closed swarm.Unreached
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s, now := t.peer.Status(), time.Now()
		if line := t.shown.line(s, now); line != "" {
			t.env.Progress("%s", line)
		}
		for _, p := range closed.Look(s.Peers, now) {
			t.env.Sink.Emit(report.Event{Kind: report.Warning, Message: t.unreached(p),
				Hint: "if it is up, let the nodes reach each other at this TCP port; what they can't hand on leaves the workstation more than once"})
		}
		done, going := t.shown.imports()
		if err := patience.look(s, done, going, now); err != nil {
			return t.withUnreached(err, s.Peers)
		}
	}
}

// unreached tells of one peer.
func (t *task) unreached(p swarm.PeerStatus) string {
	text := fmt.Sprintf("%s can't be reached at %s", cmp.Or(t.spec.Names[p.Addr], "a node"), p.Addr)
	if p.LastError != "" {
		text += ": " + p.LastError
	}
	return text
}

// withUnreached adds to an error who could not be reached.
func (t *task) withUnreached(err error, peers []swarm.PeerStatus) error {
	var list []string
	for _, p := range peers {
		if !p.Reachable && !p.Complete {
			list = append(list, t.unreached(p))
		}
	}
	if len(list) == 0 || !errors.Is(err, errNobody) {
		return err
	}
	return fmt.Errorf("%w; %s", err, strings.Join(list, "; "))
}

// watched is what a task's patience is measured by.
type watched struct {
	patience time.Duration
	// alone is for how long there was neither the parcel nor a feed, last when that
	// was looked at.
	alone time.Duration
	last  time.Time
	// done are the images that were in place at the last one, at moved.
	done  int
	moved time.Time
}

// look ends the patience. done are the images that are in place, going says that
// there are more.
func (w *watched) look(s swarm.Status, done int, going bool, now time.Time) error {
	switch {
	case s.Parcel:
		w.alone = 0
	case !s.SwarmFeed && !w.last.IsZero():
		// A feed that came and went and brought nothing has ended no wait.
		w.alone += now.Sub(w.last)
	}
	w.last = now
	if s.Stuck > w.patience || w.alone > w.patience {
		return fmt.Errorf("%w: no node that can be reached from here has it, and for %s no kubectl ha images push has brought it to one", errNobody, w.patience)
	}
	if !going || s.Had < s.Wanted || done != w.done || w.moved.IsZero() {
		w.done, w.moved = done, now
	}
	if now.Sub(w.moved) > importIdle {
		return fmt.Errorf("%w: all bytes are there, and for %s no image was put in place; see `journalctl -u containerd`", errIdle, importIdle)
	}
	return nil
}
