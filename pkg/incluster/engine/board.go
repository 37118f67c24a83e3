package engine

import (
	"container/heap"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// board is what is decided on: an Operation's plan, and where each of its steps stands. It is made once
// of all steps. A change of one step then costs what comes directly after it, and a decision what
// begins, runs or has failed, however many steps there are.
type board struct {
	places []place
	index  map[string]int
	turns  []nodeTurn
	// turnOf is the turn of a node, by the node's name.
	turnOf map[string]int
	groups []turnGroup
	// maxFailures is how many turns may fail.
	maxFailures int
	// main and cleanup count the steps by their state.
	main, cleanup map[v1alpha1.StepState]int
	// The pending steps that come after nothing that has not ended: ready are those of no turn, going
	// those that go on with one, readyCleanup the clean-up's. Those that begin a turn are in its group.
	ready, going, readyCleanup queue
	// running, failed and failedTurns are in the plan's order.
	running, failed, failedTurns []int
	// out is how many turns have begun and have not ended well, dead how many pending steps are of
	// turns that have failed, loose how many steps of no turn run.
	out, dead, loose int
	// work counts the steps that were looked at, for tests.
	work int
}

// place is a step's on the board.
type place struct {
	id      string
	state   v1alpha1.StepState
	cleanup bool
	// waits is how many of those that it comes after have not ended, next are those that come after it.
	waits int
	next  []int
	// turn is the index of its turn, group of the group whose turns it opens; -1: none. first says
	// that it begins its turn.
	turn, group int
	first       bool
}

// newBoard puts all steps onto a board. What comes directly after a step of the kind that opens turns
// is the first step of a node's turn.
func newBoard(steps []v1alpha1.StepStatus, opens string) *board {
	b := &board{places: make([]place, len(steps)), index: make(map[string]int, len(steps)), turnOf: map[string]int{},
		main: map[v1alpha1.StepState]int{}, cleanup: map[v1alpha1.StepState]int{}}
	for i := range steps {
		b.put(i, &steps[i], opens)
	}
	// What runs, has failed or may begin is known once every step is there.
	for i := range b.places {
		p := &b.places[i]
		switch p.state {
		case v1alpha1.StepRunning:
			b.runs(i)
		case v1alpha1.StepFailed:
			b.failed = append(b.failed, i)
		}
		b.offer(i)
	}
	for i, t := range b.turns {
		if t.begun && t.left > 0 {
			b.out++
		}
		if t.begun && !t.over() {
			b.groups[t.group].busy++
		}
		if t.failed {
			b.failedTurns, b.dead = append(b.failedTurns, i), b.dead+t.pending
		}
	}
	return b
}

// put adds a step, which comes after earlier ones only.
func (b *board) put(i int, s *v1alpha1.StepStatus, opens string) {
	b.work++
	b.places[i] = place{id: s.ID, state: s.State, cleanup: s.Cleanup, turn: -1, group: -1}
	b.index[s.ID] = i
	p := &b.places[i]
	b.tally(p)[s.State]++
	if opens != "" && kind(s.ID) == opens {
		g := turnGroup{atOnce: 1}
		if s.Turns != nil {
			g.atOnce = max(1, int(s.Turns.AtOnce))
			b.maxFailures = max(b.maxFailures, int(s.Turns.MaxFailures))
		}
		p.group = len(b.groups)
		b.groups = append(b.groups, g)
	}
	for _, id := range s.After {
		b.after(i, id)
	}
	if p.turn < 0 {
		return
	}
	t := &b.turns[p.turn]
	if s.State == v1alpha1.StepPending {
		t.pending++
	} else {
		t.begun = true
	}
	if !p.ended() {
		t.left++
	}
	t.failed = t.failed || s.State == v1alpha1.StepFailed
}

// after notes that a step comes after another one.
func (b *board) after(i int, id string) {
	p := &b.places[i]
	if id == v1alpha1.AfterTurns {
		b.afterTurns(i)
		return
	}
	if all := v1alpha1.KindAfter(id); all != "" {
		for j := range i {
			if b.work++; kind(b.places[j].id) == all && !b.places[j].cleanup {
				b.wait(i, j)
			}
		}
		return
	}
	j, known := b.index[id]
	switch {
	case p.cleanup && (!known || !b.places[j].cleanup):
		return // What a clean-up step comes after among the others has ended by then.
	case !known || b.places[j].cleanup && !p.cleanup:
		p.waits++ // for ever; the plan is a mistake
		return
	}
	b.wait(i, j)
	before := b.places[j]
	_, node, _ := strings.Cut(p.id, "/")
	switch {
	case before.group >= 0 && node != "":
		p.turn, p.first = len(b.turns), true
		b.turnOf[node] = p.turn
		b.turns = append(b.turns, nodeTurn{node: node, group: before.group, first: i, barrier: -1})
	case before.turn >= 0 && p.turn < 0 && b.turns[before.turn].node == node:
		p.turn = before.turn
	}
}

// wait has step i wait for step j.
func (b *board) wait(i, j int) {
	before := &b.places[j]
	before.next = append(before.next, i)
	if !before.ended() {
		b.places[i].waits++
	}
}

// ended tells whether those that come after a step need not wait for it. A failed clean-up doesn't
// keep the others from theirs.
func (p *place) ended() bool {
	return p.state == v1alpha1.StepSucceeded || p.state == v1alpha1.StepSkipped || p.cleanup && p.state == v1alpha1.StepFailed
}

func (b *board) tally(p *place) map[v1alpha1.StepState]int {
	if p.cleanup {
		return b.cleanup
	}
	return b.main
}

// offer makes a step one that may begin, if it is.
func (b *board) offer(i int) {
	b.work++
	p := &b.places[i]
	switch {
	case p.state != v1alpha1.StepPending || p.waits > 0:
	case p.cleanup:
		heap.Push(&b.readyCleanup, i)
	case p.first:
		heap.Push(&b.groups[b.turns[p.turn].group].ready, i)
	case p.turn >= 0:
		heap.Push(&b.going, i)
	default:
		heap.Push(&b.ready, i)
	}
}

// told changes a step's state: from pending to running, or from there to an end.
func (b *board) told(i int, to v1alpha1.StepState) {
	p := &b.places[i]
	from := p.state
	if from == to {
		return
	}
	b.work++
	counts := b.tally(p)
	counts[from]--
	counts[to]++
	if from == v1alpha1.StepRunning {
		b.rests(i)
	}
	p.state = to
	switch to {
	case v1alpha1.StepRunning:
		b.runs(i)
	case v1alpha1.StepFailed:
		b.failed = insert(b.failed, i)
	}
	if p.turn >= 0 {
		b.toldTurn(p.turn, from, p)
	}
	if p.ended() {
		for _, n := range p.next {
			b.release(n)
		}
	}
}

// release says that one of those that a step comes after has ended.
func (b *board) release(i int) {
	b.places[i].waits--
	b.offer(i)
}

func (b *board) runs(i int) {
	b.running = insert(b.running, i)
	if p := &b.places[i]; p.turn < 0 && !p.cleanup {
		b.loose++
	}
}

func (b *board) rests(i int) {
	b.running = slices.DeleteFunc(b.running, func(r int) bool { return r == i })
	if p := &b.places[i]; p.turn < 0 && !p.cleanup {
		b.loose--
	}
}

// done is how many steps have ended well.
func (b *board) done() int {
	return b.main[v1alpha1.StepSucceeded] + b.main[v1alpha1.StepSkipped] + b.cleanup[v1alpha1.StepSucceeded] + b.cleanup[v1alpha1.StepSkipped]
}

// ids names steps.
func (b *board) ids(of []int) []string {
	out := make([]string, 0, len(of))
	for _, i := range of {
		out = append(out, b.places[i].id)
	}
	return out
}

// insert keeps a list in order.
func insert(in []int, i int) []int {
	at, there := slices.BinarySearch(in, i)
	if there {
		return in
	}
	return slices.Insert(in, at, i)
}
