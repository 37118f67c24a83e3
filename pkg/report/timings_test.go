package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

// run emits a step that starts and ends at these seconds.
func run(r *Recorder, step, host string, start, end float64) {
	r.Emit(Event{Time: at(start), Kind: StepStarted, Step: step, Title: step, Host: host})
	r.Emit(Event{Time: at(end), Kind: StepDone, Step: step, Title: step, Host: host, Changed: true})
}

func critical(timings []Timing) string {
	var out []string
	for _, t := range timings {
		if t.Critical {
			out = append(out, t.Step)
		}
	}
	return strings.Join(out, " ")
}

func TestCriticalPath(t *testing.T) {
	var r Recorder
	run(&r, "prepare/a", "a", 0, 4)
	run(&r, "prepare/b", "b", 0, 6)
	run(&r, "etcd/a", "a", 4, 5)
	run(&r, "init/a", "a", 5, 14)
	run(&r, "join/b", "b", 14, 16)
	if got, want := critical(r.Timings(nil)), "prepare/a etcd/a init/a join/b"; got != want {
		t.Errorf("guessed: %q, want %q", got, want)
	}
	after := map[string][]string{"join/b": {"prepare/b"}, "prepare/b": nil}
	if got, want := critical(r.Timings(after)), "prepare/b join/b"; got != want {
		t.Errorf("with the plan's order: %q, want %q", got, want)
	}
}

func TestTimingsOfNothing(t *testing.T) {
	var r Recorder
	if got := r.Timings(nil); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestWriteTimings(t *testing.T) {
	var r Recorder
	for _, e := range story() {
		r.Emit(e)
	}
	var b bytes.Buffer
	if err := WriteTimings(&b, r.Timings(nil)); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "timings.txt", b.String())
}
