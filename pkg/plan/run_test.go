package plan

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// recorder keeps what happened to steps, in order.
type recorder struct {
	mu     sync.Mutex
	events []report.Event
}

func (r *recorder) Emit(e report.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) of(kind report.Kind) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, e := range r.events {
		if e.Kind == kind {
			out = append(out, e.Step)
		}
	}
	return out
}

func steps(lines ...string) Plan {
	var p Plan
	for _, l := range lines {
		id, after, _ := strings.Cut(l, " < ")
		s := Step{ID: id}
		if after != "" {
			s.After = strings.Split(after, ",")
		}
		p.Steps = append(p.Steps, s)
	}
	return p
}

func sorted(s []string) []string { slices.Sort(s); return s }

func TestRunKeepsOrderAndRunsSideBySide(t *testing.T) {
	p := steps("a", "b", "c < a", "d < b,c")
	both := make(chan struct{})
	var mu sync.Mutex
	var ended []string
	first := 0
	rec := &recorder{}
	err := Run(t.Context(), p, Options{Exec: func(ctx context.Context, s Step) (Outcome, error) {
		mu.Lock()
		for _, a := range s.After {
			if !slices.Contains(ended, a) {
				t.Errorf("%s began before %s ended", s.ID, a)
			}
		}
		if len(s.After) == 0 {
			if first++; first == 2 {
				close(both)
			}
		}
		mu.Unlock()
		if len(s.After) == 0 {
			select {
			case <-both: // a and b run at the same time
			case <-time.After(30 * time.Second):
				t.Errorf("%s was alone", s.ID)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		ended = append(ended, s.ID)
		return Outcome{Changed: s.ID == "a", Message: "m"}, nil
	}}, rec)
	if err != nil || len(ended) != 4 {
		t.Errorf("ended %v, %v", ended, err)
	}
	for _, e := range rec.events {
		if e.Kind == report.StepDone && e.Changed != (e.Step == "a") {
			t.Errorf("changed is wrong in %+v", e)
		}
	}
}

type explained struct{ error }

func (e explained) Unwrap() error { return e.error }

func (explained) Explain() (string, string) { return "whole output", "do this" }

func TestRunFailure(t *testing.T) {
	p := steps("a", "b", "c < a", "d < c", "e < b")
	bad := errors.New("bad")
	rec := &recorder{}
	err := Run(t.Context(), p, Options{Exec: func(_ context.Context, s Step) (Outcome, error) {
		switch s.ID {
		case "a":
			return Outcome{}, explained{bad}
		case "e":
			panic("oh")
		}
		return Outcome{}, nil
	}}, rec)
	var left *NotRunError
	if !errors.Is(err, bad) || !errors.As(err, &left) || !slices.Equal(left.IDs, []string{"c", "d"}) || !strings.Contains(err.Error(), "panic: oh") {
		t.Errorf("got %v", err)
	}
	if got := sorted(rec.of(report.StepDone)); !slices.Equal(got, []string{"b"}) {
		t.Errorf("done %v", got)
	}
	if got := sorted(rec.of(report.StepFailed)); !slices.Equal(got, []string{"a", "e"}) {
		t.Errorf("failed %v", got)
	}
	for _, e := range rec.events {
		if e.Kind == report.StepFailed && e.Step == "a" && (e.Error != "bad" || e.Detail != "whole output" || e.Hint != "do this") {
			t.Errorf("event %+v", e)
		}
	}
}

func TestRunCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	rec := &recorder{}
	finished := false
	err := Run(ctx, steps("a", "b < a"), Options{Exec: func(ctx context.Context, s Step) (Outcome, error) {
		cancel()
		<-ctx.Done()
		finished = true // it takes its time, and Run waits for it
		return Outcome{}, nil
	}}, rec)
	var left *NotRunError
	if !finished || !errors.Is(err, context.Canceled) || !errors.As(err, &left) || !slices.Equal(left.IDs, []string{"b"}) {
		t.Errorf("finished %v, got %v", finished, err)
	}
	if got := rec.of(report.StepStarted); !slices.Equal(got, []string{"a"}) {
		t.Errorf("started %v", got)
	}
}

func TestRunSkipsAndLimits(t *testing.T) {
	p := steps("a", "b < a", "c", "d", "e")
	p.Steps[0].Skip = "there already"
	p.Steps[1].Timeout = 10 * time.Millisecond
	rec := &recorder{}
	var mu sync.Mutex
	now, most := 0, 0
	err := Run(t.Context(), p, Options{Parallel: 2, Exec: func(ctx context.Context, s Step) (Outcome, error) {
		if s.ID == "a" {
			t.Error("a skipped step ran")
		}
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		defer func() { mu.Lock(); now--; mu.Unlock() }()
		if s.ID == "b" {
			<-ctx.Done()
			return Outcome{}, ctx.Err()
		}
		return Outcome{}, nil
	}}, rec)
	if err == nil || !strings.Contains(err.Error(), "took longer than 10ms") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if most > 2 {
		t.Errorf("%d ran at once", most)
	}
	if got := rec.of(report.StepSkipped); !slices.Equal(got, []string{"a"}) {
		t.Errorf("skipped %v", got)
	}
	if got := sorted(rec.of(report.StepDone)); !slices.Equal(got, []string{"c", "d", "e"}) {
		t.Errorf("done %v", got)
	}
}

func TestRunRefusesBadPlans(t *testing.T) {
	for _, p := range []Plan{steps("a < b", "b"), steps("a", "a"), steps("a < a")} {
		err := Run(t.Context(), p, Options{Exec: func(context.Context, Step) (Outcome, error) {
			t.Error("a step ran")
			return Outcome{}, nil
		}}, &recorder{})
		if err == nil {
			t.Errorf("%v was accepted", p)
		}
	}
}

func TestLines(t *testing.T) {
	p := Plan{Steps: []Step{{ID: "etcd/cp1", Host: "cp1", Title: "start etcd"}, {ID: "join", Title: "promote", Skip: "done"}}}
	got := strings.Join(p.Lines(), "\n")
	want := "+ etcd/cp1  cp1  start etcd\n- join           promote (skipped: done)"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
