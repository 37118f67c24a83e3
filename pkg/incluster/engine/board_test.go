package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

const opener = "workers"

// pool is a plan with turns of nodes in zones, each of which lets so many of its nodes be out.
func pool(atOnce, failures int32, zones ...int) []v1alpha1.StepStatus {
	const p = v1alpha1.StepPending
	steps := []v1alpha1.StepStatus{{ID: "preflight", State: p}}
	after := []string{"preflight"}
	n := 0
	for z, nodes := range zones {
		open := fmt.Sprintf("%s/zone%d", opener, z)
		steps = append(steps, v1alpha1.StepStatus{ID: open, After: after, State: p, UndoneBy: "uncordon-all", Turns: &v1alpha1.TurnBounds{AtOnce: atOnce, MaxFailures: failures}})
		for range nodes {
			n++
			last := open
			for _, kind := range []string{"cordon", "drain", "kubelet", "gate", "uncordon"} {
				s := v1alpha1.StepStatus{ID: fmt.Sprintf("%s/w%d", kind, n), After: []string{last}, State: p}
				if kind == "cordon" || kind == "drain" {
					s.UndoneBy = "uncordon-all"
				}
				steps, last = append(steps, s), s.ID
			}
		}
		after = []string{v1alpha1.AfterTurns}
	}
	return append(steps, v1alpha1.StepStatus{ID: "report", After: after, State: p}, v1alpha1.StepStatus{ID: "uncordon-all", Cleanup: true, State: p})
}

// played is an Operation that is carried out by decisions alone.
type played struct {
	*testing.T
	op    *v1alpha1.Operation
	board *board
	at    surroundings
	// cordoned are the nodes that are, most how many of them and of the unready there were at once when one
	// more was begun with.
	cordoned map[string]bool
	most     int
}

func play(t *testing.T, steps []v1alpha1.StepStatus) *played {
	return &played{T: t, cordoned: map[string]bool{}, at: surroundings{unready: map[string]string{}},
		op: &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "op"}, Status: v1alpha1.OperationStatus{Steps: steps}}}
}

// decide is what the coordinator's loop does: it decides on the board that it has, and begins what is
// to begin.
func (p *played) decide() decision {
	p.Helper()
	fresh := newBoard(p.op.Status.Steps, opener)
	if p.board == nil {
		p.board = fresh
	}
	if p.board.retries(p.op) {
		p.op.Status = operations.Retry(p.op.Status)
		p.board = newBoard(p.op.Status.Steps, opener)
		fresh = p.board
	}
	d := p.board.decide(p.op, p.at)
	if want := fresh.decide(p.op, p.at); !reflect.DeepEqual(d, want) {
		p.Fatalf("on the board it is decided %+v, of all steps %+v", d, want)
	}
	for _, id := range d.start {
		p.begin(id)
	}
	if p.op.Status.Phase, p.op.Status.Message = d.phase, d.message; d.pause {
		p.op.Spec.Paused = true
	}
	return d
}

func (p *played) begin(id string) {
	p.Helper()
	i := p.board.index[id]
	begin("op", &p.op.Status.Steps[i])
	p.board.told(i, v1alpha1.StepRunning)
	kind, node, _ := strings.Cut(id, "/")
	switch {
	case kind == "cordon":
		p.cordoned[node] = true
		if p.at.unready[node] != "" {
			return // It was out before.
		}
		out := maps.Clone(p.cordoned)
		for n := range p.at.unready {
			out[n] = true
		}
		p.most = max(p.most, len(out))
	case slices.Contains([]string{"drain", "kubelet"}, kind) && !p.cordoned[node]:
		p.Fatalf("%s begins on a node that takes pods", id)
	}
}

// end ends a running step.
func (p *played) end(i int, state v1alpha1.StepState) {
	p.op.Status.Steps[i].State = state
	p.board.told(i, state)
	kind, node, _ := strings.Cut(p.op.Status.Steps[i].ID, "/")
	if state != v1alpha1.StepSucceeded {
		return
	}
	switch kind {
	case "uncordon":
		delete(p.cordoned, node)
	case "uncordon-all":
		clear(p.cordoned)
	}
}

// failed are the nodes whose turn has failed, by the steps alone.
func (p *played) failed() []string {
	var out []string
	for _, s := range p.op.Status.Steps {
		if _, node, ok := strings.Cut(s.ID, "/"); ok && s.State == v1alpha1.StepFailed && !s.Cleanup {
			out = append(out, node)
		}
	}
	return out
}

// TestNeverMoreOut plays upgrades with failures, nodes that are not ready for other reasons, pauses, and
// coordinators that are replaced, of all sizes and orders: no turn begins that makes more nodes be out
// than may, nor after too many have failed, nor in a zone before all turns of the last one are over;
// and each upgrade comes to an end, which is a success only where nothing has failed.
func TestNeverMoreOut(t *testing.T) {
	ends := map[v1alpha1.OperationPhase]int{}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 46))
		atOnce, failures := int32(1+r.IntN(4)), int32(r.IntN(4))
		zones := []int{1 + r.IntN(6), r.IntN(5), r.IntN(4)}
		p := play(t, pool(atOnce, failures, zones...))
		fails, resumes := r.IntN(3)*4, r.IntN(3)
		for steps := 0; !p.op.Status.Phase.Final() || resumes > 0; steps++ {
			if p.op.Status.Phase.Final() {
				// As kubectl ha operation resume does with one that has failed.
				resumes--
				if p.op.Status.Phase != v1alpha1.OperationFailed {
					break
				}
				p.op.Status, p.board = operations.Retry(p.op.Status), nil
			}
			if steps > 20000 {
				t.Fatalf("seed %d has not come to an end: %s, %s", seed, p.op.Status.Phase, p.op.Status.Message)
			}
			p.surprise(r)
			before := p.failed()
			d := p.decide()
			if p.most > int(atOnce) {
				t.Fatalf("seed %d: %d nodes are out where %d may: %v and %v, when %v begins", seed, p.most, atOnce, p.cordoned, p.at.unready, d.start)
			}
			if p.board.out > int(atOnce) {
				t.Fatalf("seed %d: %d turns are under way where %d nodes may be out, when %v begins", seed, p.board.out, atOnce, d.start)
			}
			p.most = 0
			p.inOrder(seed, d.start, before, failures)
			if n := len(p.board.running); n > 0 {
				state := v1alpha1.StepSucceeded
				i := p.board.running[r.IntN(n)]
				if p.board.places[i].turn >= 0 && r.IntN(100) < fails {
					state = v1alpha1.StepFailed
				}
				p.end(i, state)
			}
		}
		if (p.op.Status.Phase == v1alpha1.OperationSucceeded) != (len(p.failed()) == 0) {
			t.Fatalf("seed %d: %s with %v failed", seed, p.op.Status.Phase, p.failed())
		}
		ends[p.op.Status.Phase]++
	}
	if ends[v1alpha1.OperationSucceeded] < 50 || ends[v1alpha1.OperationFailed] < 50 {
		t.Errorf("what was played ended as %v", ends)
	}
}

// surprise is what comes from elsewhere.
func (p *played) surprise(r *rand.Rand) {
	switch r.IntN(12) {
	case 0:
		p.board = nil // Another coordinator takes over.
	case 1:
		p.at.unready[fmt.Sprintf("w%d", 1+r.IntN(8))] = "asleep"
	case 2, 3:
		p.at.unready = map[string]string{}
	case 4:
		p.op.Spec.Paused = r.IntN(3) == 0
	case 5:
		p.at.unready[fmt.Sprintf("stranger%d", r.IntN(3))] = "asleep"
	case 6:
		if p.op.Status.Phase == v1alpha1.OperationPaused {
			p.op.Spec.Paused = false
		}
	}
}

func (p *played) inOrder(seed uint64, started, failed []string, failures int32) {
	p.Helper()
	for _, id := range started {
		kind, node, _ := strings.Cut(id, "/")
		if kind != "cordon" {
			continue
		}
		if len(failed) > int(failures) && len(p.failed()) > int(failures) {
			p.Fatalf("seed %d: %s begins although %v have failed, and %d may", seed, node, failed, failures)
		}
		mine := p.board.turns[p.board.turnOf[node]].group
		for _, other := range p.board.turns {
			if other.group < mine && !other.over() {
				p.Fatalf("seed %d: %s begins before %s has ended, which is in an earlier zone", seed, node, other.node)
			}
			if other.group > mine && p.cordoned[other.node] && !other.failed {
				p.Fatalf("seed %d: %s begins while %s is out, which is in a later zone", seed, node, other.node)
			}
		}
	}
}

// TestPool has the slow one hold up nobody, and the room it takes be taken by nobody.
func TestPool(t *testing.T) {
	p := play(t, pool(2, 0, 6))
	p.at.unready = nil
	end := func(state v1alpha1.StepState, ids ...string) string {
		for _, id := range ids {
			p.end(p.board.index[id], state)
		}
		return strings.Join(p.decide().start, " ")
	}
	turn := func(node string) (last string) {
		for _, kind := range []string{"cordon", "drain", "kubelet", "gate", "uncordon"} {
			last = end(v1alpha1.StepSucceeded, kind+"/"+node)
		}
		return last
	}
	p.decide()
	end(v1alpha1.StepSucceeded, "preflight")
	if got := end(v1alpha1.StepSucceeded, "workers/zone0"); got != "" || !strings.HasPrefix(p.op.Status.Message, "waits: it is not known yet") {
		t.Fatalf("%s begin before it is known who is ready: %s", got, p.op.Status.Message)
	}
	p.at.unready = map[string]string{}
	if got := strings.Join(p.decide().start, " "); got != "cordon/w1 cordon/w2" {
		t.Fatalf("first come %s", got)
	}
	for i := 2; i < 6; i++ {
		if got, want := turn(fmt.Sprintf("w%d", i)), fmt.Sprintf("cordon/w%d", i+1); got != want {
			t.Fatalf("while w1 is slow, %q follows w%d", got, i)
		}
	}
	if got := turn("w6"); got != "" {
		t.Errorf("with w1 under way %s begins", got)
	}
	if got := turn("w1"); got != "report" {
		t.Errorf("in the end comes %q", got)
	}
}

// TestTurnsDecide: what is decided where there is no room, or too many have failed.
func TestTurnsDecide(t *testing.T) {
	const r, ok, f = v1alpha1.StepRunning, v1alpha1.StepSucceeded, v1alpha1.StepFailed
	for name, c := range map[string]struct {
		atOnce, failures int32
		states           map[string]v1alpha1.StepState
		unready          string
		paused           bool
		start            string
		phase            v1alpha1.OperationPhase
		message          string
		pause, waits     bool
	}{
		"room":                       {atOnce: 2, start: "cordon/w1 cordon/w2", message: "cordon/w1, cordon/w2"},
		"no bound is one":            {start: "cordon/w1"},
		"one is not ready":           {atOnce: 2, unready: "x", start: "cordon/w1"},
		"it is out anyway":           {atOnce: 1, unready: "w1", start: "cordon/w1"},
		"it is, further down":        {atOnce: 1, unready: "w3", start: "cordon/w3"},
		"out more than may":          {atOnce: 2, unready: "w2 w4 x", start: "cordon/w2 cordon/w4"},
		"more than have a turn":      {atOnce: 1, unready: "w2 w4", start: "cordon/w2"},
		"room for another one":       {atOnce: 2, unready: "w3", start: "cordon/w1 cordon/w3"},
		"out, its turns are full":    {atOnce: 1, states: map[string]v1alpha1.StepState{"cordon/w1": r}, unready: "w3", message: "cordon/w1"},
		"under way and not ready":    {atOnce: 2, states: map[string]v1alpha1.StepState{"cordon/w1": ok, "drain/w1": r}, unready: "w1", start: "cordon/w2"},
		"no room":                    {atOnce: 2, unready: "x y", message: "waits: no more than 2 nodes may be out, and not ready are x, y", waits: true},
		"no room, paused":            {atOnce: 2, unready: "x y", paused: true, phase: v1alpha1.OperationPaused, message: "paused; kubectl ha operation resume op goes on: no more than 2 nodes may be out, and not ready are x, y"},
		"paused":                     {atOnce: 2, unready: "x", paused: true, phase: v1alpha1.OperationPaused, message: "paused; kubectl ha operation resume op goes on"},
		"a failure that may not be":  {atOnce: 2, states: map[string]v1alpha1.StepState{"cordon/w1": ok, "drain/w1": f}, start: "uncordon-all", message: "a step failed, still running: "},
		"a failure that may be":      {atOnce: 2, failures: 1, states: map[string]v1alpha1.StepState{"cordon/w1": ok, "drain/w1": f}, start: "cordon/w2", message: "1 node has failed (1 may), still running: cordon/w2"},
		"it stays out":               {atOnce: 1, failures: 1, states: map[string]v1alpha1.StepState{"cordon/w1": ok, "drain/w1": f}, message: "waits: 1 node has failed, and no more than 1 may be out, the failed among them: w1", pause: true},
		"too many, one under way":    {atOnce: 4, failures: 1, states: map[string]v1alpha1.StepState{"cordon/w1": f, "cordon/w2": f, "cordon/w3": ok}, start: "drain/w3", message: "2 nodes have failed (1 may), still running: drain/w3"},
		"too many":                   {atOnce: 4, failures: 1, states: map[string]v1alpha1.StepState{"cordon/w1": f, "cordon/w2": f}, message: "waits: 2 nodes have failed, and no more than 1 may: w1, w2", pause: true},
		"too many, paused":           {atOnce: 4, failures: 1, states: map[string]v1alpha1.StepState{"cordon/w1": f, "cordon/w2": f}, paused: true, phase: v1alpha1.OperationPaused, message: "paused; kubectl ha operation resume op goes on, with what failed first: 2 nodes have failed, and no more than 1 may: w1, w2"},
		"what may not fail, may not": {atOnce: 4, failures: 3, states: map[string]v1alpha1.StepState{"preflight": f}, start: "uncordon-all"},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t, pool(c.atOnce, c.failures, 4))
			states := map[string]v1alpha1.StepState{"preflight": ok, "workers/zone0": ok}
			maps.Copy(states, c.states)
			for i := range p.op.Status.Steps {
				if s := states[p.op.Status.Steps[i].ID]; s != "" {
					p.op.Status.Steps[i].State = s
				}
			}
			for _, n := range strings.Fields(c.unready) {
				p.at.unready[n] = "asleep"
			}
			p.op.Spec.Paused = c.paused
			d := decide(p.op, opener, p.at)
			if got := strings.Join(d.start, " "); got != c.start {
				t.Errorf("starts %q, want %q", got, c.start)
			}
			if c.phase == "" {
				c.phase = v1alpha1.OperationRunning
			}
			if d.phase != c.phase || !strings.HasPrefix(d.message, c.message) || d.pause != c.pause || d.waits != c.waits {
				t.Errorf("got %+v", d)
			}
		})
	}
}

// TestAtOnce: what is of no turn does not begin all at once where it is bounded.
func TestAtOnce(t *testing.T) {
	var steps []v1alpha1.StepStatus
	for i := range 250 {
		steps = append(steps, v1alpha1.StepStatus{ID: fmt.Sprintf("content/n%d", i), State: v1alpha1.StepPending})
	}
	steps = append(steps, v1alpha1.StepStatus{ID: "then", After: []string{v1alpha1.AfterAll("content")}, State: v1alpha1.StepPending})
	p := play(t, steps)
	p.at.atOnce = 100
	for ended := 0; ; ended++ {
		d := p.decide()
		if len(p.board.running) > 100 {
			t.Fatalf("%d run at once", len(p.board.running))
		}
		if slices.Contains(d.start, "then") {
			if ended != 250 {
				t.Errorf("what comes after all begins after %d", ended)
			}
			return
		}
		if len(p.board.running) == 0 {
			t.Fatalf("after %d nothing goes on: %s", ended, d.message)
		}
		p.end(p.board.running[0], v1alpha1.StepSucceeded)
	}
}

// TestWork: what is looked at for a step is the same in a plan of 50 nodes and in one of 5,000.
func TestWork(t *testing.T) {
	perStep := map[int]float64{}
	for _, nodes := range []int{50, 500, 5000} {
		steps := pool(10, 5, nodes/2, nodes/2)
		op := &v1alpha1.Operation{Status: v1alpha1.OperationStatus{Steps: steps}}
		b := newBoard(steps, opener)
		made, decisions := b.work, 0
		for {
			d := b.decide(op, surroundings{unready: map[string]string{"x": "asleep"}})
			if d.phase.Final() {
				break
			}
			decisions++
			for _, id := range d.start {
				i := b.index[id]
				steps[i].State = v1alpha1.StepRunning
				b.told(i, v1alpha1.StepRunning)
			}
			i := b.running[len(b.running)-1]
			steps[i].State = v1alpha1.StepSucceeded
			b.told(i, v1alpha1.StepSucceeded)
		}
		if decisions != len(steps) {
			t.Errorf("%d nodes: %d steps have ended, of %d", nodes, decisions, len(steps))
		}
		perStep[nodes] = float64(b.work-made) / float64(len(steps))
	}
	t.Logf("steps that are looked at for each step: %v", perStep)
	for nodes, n := range perStep {
		if n > 1.3*perStep[50] {
			t.Errorf("at %d nodes %.1f steps are looked at for each, at 50 nodes %.1f", nodes, n, perStep[50])
		}
	}
}
