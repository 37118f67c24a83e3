package engine

import "github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"

// nodeTurn is what is done to one node, from the first of its steps to the last.
type nodeTurn struct {
	node  string
	group int
	// first is its first step.
	first int
	// pending and left are how many of its steps have not begun, and have not ended well.
	pending, left int
	begun, failed bool
	// barrier is the step that comes after this turn among others; -1: none.
	barrier int
}

// over tells whether the turn is not waited for any more.
func (t nodeTurn) over() bool { return t.failed || t.left == 0 }

// turnGroup are the turns that one step opens.
type turnGroup struct {
	atOnce int
	// busy is how many of its turns have begun, and have neither ended nor failed.
	busy int
	// ready are the first steps of turns that may begin as soon as there is room.
	ready queue
}

// afterTurns has a step wait for the turns that nothing waits for yet; what was waited for by the last
// such step it waits for by that one.
func (b *board) afterTurns(i int) {
	for t := len(b.turns) - 1; t >= 0; t-- {
		if last := b.turns[t].barrier; last >= 0 {
			b.wait(i, last)
			return
		}
		b.turns[t].barrier = i
		if !b.turns[t].over() {
			b.places[i].waits++
		}
	}
}

// toldTurn keeps a turn's own account of a step that was in another state before.
func (b *board) toldTurn(i int, from v1alpha1.StepState, p *place) {
	t := &b.turns[i]
	wasOver := t.over()
	if t.begun && !wasOver {
		b.groups[t.group].busy--
	}
	if from == v1alpha1.StepPending {
		t.pending--
		if t.failed {
			b.dead--
		}
		if !t.begun {
			t.begun = true
			b.out++
		}
	}
	if p.ended() {
		if t.left--; t.left == 0 {
			b.out--
		}
	}
	if p.state == v1alpha1.StepFailed && !t.failed {
		t.failed = true
		b.failedTurns, b.dead = insert(b.failedTurns, i), b.dead+t.pending
	}
	if !t.over() {
		b.groups[t.group].busy++
	}
	if t.over() && !wasOver && t.barrier >= 0 {
		b.release(t.barrier)
	}
}

// nodes names the nodes of turns.
func (b *board) nodes(turns []int) []string {
	out := make([]string, 0, len(turns))
	for _, i := range turns {
		out = append(out, b.turns[i].node)
	}
	return out
}
