package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// maxMessage bounds an Operation's one-line message.
const maxMessage = 200

// decision is what is to happen next.
type decision struct {
	// start are the IDs of the steps to start now, in the plan's order.
	start []string
	// interrupt are running steps that nobody needs any more.
	interrupt []string
	phase     v1alpha1.OperationPhase
	message   string
	// pause says that the Operation is to be paused: nothing can be done before a person has.
	pause bool
	// waits says that nothing runs, and what is waited for may come by itself.
	waits bool
}

// surroundings are what is decided by beside the Operation itself.
type surroundings struct {
	// unready are the workers that are not ready, with the reason. Nil: it is not known which ones.
	unready map[string]string
	// atOnce bounds the steps of no turn that run at the same time. Zero: no bound.
	atOnce int
}

// decide says what is to happen next with a planned Operation. It is pure.
//
// Nothing new starts once a step failed or the Operation is aborted or deleted;
// when what runs has ended the clean-up steps run, and then it has ended. Turns of nodes may
// fail as far as the plan allows it: what else there is goes on, and no other turn begins once too
// many have.
func (b *board) decide(op *v1alpha1.Operation, at surroundings) decision {
	aborted, failed := unwanted(op), b.mayNotFail()
	d := decision{phase: v1alpha1.OperationRunning}
	alive := b.main[v1alpha1.StepPending] - b.dead
	switch {
	case aborted || failed:
		d.interrupt = b.ids(b.runningMain())
	case op.Spec.Paused && alive > 0:
		if len(b.running) == 0 {
			return decision{phase: v1alpha1.OperationPaused, message: b.paused(op, at)}
		}
		d.message = "pausing, still running: " + list(b.ids(b.running))
		return d
	default:
		d.start = b.next(at)
		if len(d.start) == 0 && len(b.running) == 0 && alive > 0 {
			if why, wait := b.held(at); why != "" {
				d.message, d.waits, d.pause = line("waits: "+why), wait, !wait
				return d
			}
		}
	}
	if len(d.start) == 0 && b.main[v1alpha1.StepRunning] == 0 {
		// A stuck plan would be a mistake in it; ending as failed shows it.
		stuck := !aborted && !failed && alive > 0
		d.start = b.ids(b.first(&b.readyCleanup, math.MaxInt, anything))
		if len(d.start) == 0 && b.cleanup[v1alpha1.StepRunning] == 0 {
			return b.end(op, aborted, stuck)
		}
	}
	d.message = list(append(b.ids(b.running), d.start...))
	switch {
	case aborted:
		d.message = "aborting, still running: " + d.message
	case failed:
		d.message = "a step failed, still running: " + d.message
	case len(b.failedTurns) > 0:
		d.message = line(fmt.Sprintf("%s failed (%d may), still running: %s", nodesHave(len(b.failedTurns)), b.maxFailures, d.message))
	}
	return d
}

func anything(int) bool { return true }

// decide is a decision on an Operation of which nothing is known before.
func decide(op *v1alpha1.Operation, opens string, at surroundings) decision {
	return newBoard(op.Status.Steps, opens).decide(op, at)
}

// mayNotFail tells whether a step has failed that may not: one of no turn, or of a turn in a plan that
// lets none fail.
func (b *board) mayNotFail() bool {
	return slices.ContainsFunc(b.failed, func(i int) bool {
		p := b.places[i]
		return !p.cleanup && (p.turn < 0 || b.maxFailures == 0)
	})
}

// runningMain are the running steps but those of the clean-up.
func (b *board) runningMain() []int {
	return slices.DeleteFunc(slices.Clone(b.running), func(i int) bool { return b.places[i].cleanup })
}

// tooMany tells whether more turns have failed than may.
func (b *board) tooMany() bool { return len(b.failedTurns) > b.maxFailures }

// next are the steps that may begin now: what goes on with a turn that has begun, what is of no turn,
// and the turns for which there is room.
func (b *board) next(at surroundings) []string {
	start := b.first(&b.going, math.MaxInt, anything)
	if !b.tooMany() {
		most := math.MaxInt
		if at.atOnce > 0 {
			most = max(0, at.atOnce-b.loose)
		}
		start = slices.Concat(start, b.first(&b.ready, most, anything), b.begin(at))
	}
	slices.Sort(start)
	return b.ids(slices.Compact(start)) // A worker that is not ready may be found both by that and in its queue.
}

// begin are the first steps of the turns for which there is room.
func (b *board) begin(at surroundings) []int {
	if at.unready == nil {
		return nil
	}
	var start []int
	out := b.outWith(at)
	for g := range b.groups {
		group := &b.groups[g]
		// Of another group none is in its middle, as may be where failed ones are begun anew.
		if b.out-len(b.failedTurns) > group.busy {
			continue
		}
		away := b.away(at, g)
		away = away[:min(len(away), max(0, group.atOnce-b.out-len(start)))]
		start = slices.Concat(start, away, b.first(&group.ready, math.MaxInt, func(i int) bool {
			if at.unready[b.turns[b.places[i].turn].node] != "" {
				return slices.Contains(away, i)
			}
			if out >= group.atOnce {
				return false
			}
			out++
			return true
		}))
	}
	return start
}

// away are the first steps of the turns of a group that may begin and whose nodes are not ready. They are out
// already and need no room, so that none before them in the queue holds them up.
func (b *board) away(at surroundings, g int) []int {
	var away []int
	for node := range at.unready {
		i, ok := b.turnOf[node]
		if !ok || b.turns[i].group != g || b.turns[i].begun {
			continue
		}
		b.work++
		if first := b.turns[i].first; b.places[first].waits == 0 {
			away = append(away, first)
		}
	}
	slices.Sort(away)
	return away
}

// outWith is how many nodes are out: those whose turn has begun and has not ended well, and those that
// are not ready.
func (b *board) outWith(at surroundings) int {
	out := b.out
	for node := range at.unready {
		if !b.underWay(node) {
			out++
		}
	}
	return out
}

// underWay tells whether a node's turn has begun and has not ended well.
func (b *board) underWay(node string) bool {
	i, ok := b.turnOf[node]
	return ok && b.turns[i].begun && b.turns[i].left > 0
}

// held says why no turn begins although some could; empty when that is not why. What is waited for may
// come by itself, or not.
func (b *board) held(at surroundings) (why string, mayCome bool) {
	if b.tooMany() {
		return fmt.Sprintf("%s failed, and no more than %d may: %s", nodesHave(len(b.failedTurns)), b.maxFailures, names(b.nodes(b.failedTurns))), false
	}
	atOnce := 0
	for g := range b.groups {
		if len(b.first(&b.groups[g].ready, 1, anything)) > 0 {
			atOnce = max(atOnce, b.groups[g].atOnce)
		}
	}
	switch {
	case atOnce == 0:
		return "", false
	case b.out >= atOnce:
		return fmt.Sprintf("%s failed, and no more than %d may be out, the failed among them: %s", nodesHave(len(b.failedTurns)), atOnce, names(b.nodes(b.failedTurns))), false
	case at.unready == nil:
		return "it is not known yet which nodes are ready", true
	case b.outWith(at) < atOnce:
		return "", false
	}
	var away []string
	for node := range at.unready {
		if !b.underWay(node) {
			away = append(away, node)
		}
	}
	slices.Sort(away)
	return fmt.Sprintf("no more than %d nodes may be out, and not ready are %s", atOnce, names(append(b.nodes(b.failedTurns), away...))), true
}

// paused is the message of an Operation of which nothing runs. What to do comes before what may be cut.
func (b *board) paused(op *v1alpha1.Operation, at surroundings) string {
	resume := "paused; kubectl ha operation resume " + op.Name + " goes on"
	if at.unready == nil {
		at.unready = map[string]string{} // That it is not known yet says nothing to anybody.
	}
	why, _ := b.held(at)
	switch {
	case why == "":
		return resume
	case len(b.failedTurns) > 0:
		resume += ", with what failed first"
	}
	return line(resume + ": " + why)
}

func (b *board) end(op *v1alpha1.Operation, aborted, stuck bool) decision {
	failures := operations.Failures(op.Status)
	done := operations.Progress(op.Status.Steps)
	if done == "" {
		done = "none"
	}
	switch {
	case aborted:
		return decision{phase: v1alpha1.OperationAborted, message: "aborted, steps done: " + done}
	case len(failures) > 0 && len(b.failedTurns) > 0 && b.maxFailures > 0:
		return decision{phase: v1alpha1.OperationFailed, message: line(fmt.Sprintf("%s failed, of %d: %s; %s", nodesHave(len(b.failedTurns)), len(b.turns), names(b.nodes(b.failedTurns)), failures[0]))}
	case len(failures) > 0:
		return decision{phase: v1alpha1.OperationFailed, message: line(failures[0])}
	case stuck:
		return decision{phase: v1alpha1.OperationFailed, message: "the plan has steps that can never start; abort it and report this as a bug"}
	default:
		return decision{phase: v1alpha1.OperationSucceeded, message: fmt.Sprintf("all %d steps done", len(op.Status.Steps))}
	}
}

// retries tells whether an Operation was told to go on with what failed of it: it was paused, is no
// more, and no turn stands in its middle, which goes on first.
func (b *board) retries(op *v1alpha1.Operation) bool {
	return op.Status.Phase == v1alpha1.OperationPaused && !op.Spec.Paused && !unwanted(op) && !b.mayNotFail() &&
		len(b.failedTurns) > 0 && b.out == len(b.failedTurns)
}

// nodesHave is "1 node has" or "2 nodes have".
func nodesHave(n int) string {
	if n == 1 {
		return "1 node has"
	}
	return fmt.Sprintf("%d nodes have", n)
}

// names are a few names.
func names(all []string) string {
	const most = 5
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
}

func list(ids []string) string { return line(strings.Join(ids, ", ")) }

// line is the first line of a text, bounded.
func line(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if r := []rune(s); len(r) > maxMessage {
		return string(r[:maxMessage-1]) + "…"
	}
	return s
}
