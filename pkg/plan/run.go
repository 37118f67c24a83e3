package plan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Outcome is how a step ended well.
type Outcome struct {
	// Changed tells whether anything was changed.
	Changed bool
	// Message is one line for people, such as what was found; may be empty.
	Message string
}

// Options say how a plan is carried out.
type Options struct {
	// Parallel is how many steps may run at once. Zero: as many as can.
	Parallel int
	// Exec carries out one step that is not skipped. Its context ends with the
	// step's Timeout.
	Exec func(ctx context.Context, s Step) (Outcome, error)
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Explained is an error that knows more than its message; Run puts what it says
// into the event of a failed step.
type Explained interface {
	error
	// Explain returns the whole output of what failed, and what to do next.
	Explain() (detail, hint string)
}

// StepError is a step that failed.
type StepError struct {
	Step Step
	Err  error
}

// Error names the step.
func (e *StepError) Error() string { return e.Step.ID + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *StepError) Unwrap() error { return e.Err }

// NotRunError lists the steps that were not begun, since one before them
// failed or the run was interrupted.
type NotRunError struct{ IDs []string }

// Error names them.
func (e *NotRunError) Error() string {
	return fmt.Sprintf("not begun: %s", strings.Join(e.IDs, ", "))
}

// Run carries a plan out: each step as soon as all that it comes after have
// ended well. When a step fails, those after it are not begun, and all others
// go on. When the context ends, nothing new is begun, and Run waits for what
// runs. The error joins a *StepError per failure, the context's, and a
// *NotRunError if steps were left.
func Run(ctx context.Context, p Plan, opts Options, sink report.Sink) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	r := &run{opts: opts, sink: sink, ended: map[string]bool{}, begun: map[string]bool{}, failed: map[string]error{}, done: make(chan result)}
	for r.begin(ctx, p); r.running > 0; r.begin(ctx, p) {
		r.take(<-r.done)
	}
	var left []string
	var errs []error
	for _, s := range p.Steps {
		if !r.begun[s.ID] {
			left = append(left, s.ID)
		}
		if err := r.failed[s.ID]; err != nil {
			errs = append(errs, &StepError{Step: s, Err: err})
		}
	}
	if len(left) > 0 {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
		}
		errs = append(errs, &NotRunError{IDs: left})
	}
	return errors.Join(errs...)
}

type result struct {
	step Step
	err  error
}

// run is only used by the goroutine of Run; steps come back over done.
type run struct {
	opts    Options
	sink    report.Sink
	begun   map[string]bool
	ended   map[string]bool // well
	running int
	done    chan result
	failed  map[string]error
}

// begin starts whatever can be started. One pass is enough: a skipped step ends at
// once, and those after it come later in the list.
func (r *run) begin(ctx context.Context, p Plan) {
	for _, s := range p.Steps {
		if r.begun[s.ID] || !r.ready(s) || ctx.Err() != nil {
			continue
		}
		if s.Skip != "" {
			r.begun[s.ID], r.ended[s.ID] = true, true
			r.sink.Emit(event(s, report.StepSkipped, r.opts.Now(), func(e *report.Event) { e.Message = s.Skip }))
			continue
		}
		if r.opts.Parallel > 0 && r.running >= r.opts.Parallel {
			continue
		}
		r.begun[s.ID] = true
		r.running++
		go r.step(ctx, s)
	}
}

func (r *run) ready(s Step) bool {
	for _, a := range s.After {
		if !r.ended[a] {
			return false
		}
	}
	return true
}

func (r *run) take(d result) {
	r.running--
	if d.err != nil {
		r.failed[d.step.ID] = d.err
		return
	}
	r.ended[d.step.ID] = true
}

// step runs one step and tells of it.
func (r *run) step(ctx context.Context, s Step) {
	started := r.opts.Now()
	r.sink.Emit(event(s, report.StepStarted, started, nil))
	stepCtx, cancel := ctx, context.CancelFunc(func() {})
	if s.Timeout > 0 {
		stepCtx, cancel = context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("the step took longer than %s", s.Timeout))
	}
	outcome, err := execute(stepCtx, r.opts.Exec, s)
	if err != nil && ctx.Err() == nil && stepCtx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(stepCtx), err)
	}
	cancel()
	now := r.opts.Now()
	if err != nil {
		r.sink.Emit(event(s, report.StepFailed, now, func(e *report.Event) {
			e.Error, e.Elapsed = err.Error(), now.Sub(started)
			var more Explained
			if errors.As(err, &more) {
				e.Detail, e.Hint = more.Explain()
			}
		}))
	} else {
		r.sink.Emit(event(s, report.StepDone, now, func(e *report.Event) {
			e.Message, e.Changed, e.Elapsed = outcome.Message, outcome.Changed, now.Sub(started)
		}))
	}
	r.done <- result{s, err}
}

// execute makes a panic of a step its error, so that the other steps can end.
func execute(ctx context.Context, exec func(context.Context, Step) (Outcome, error), s Step) (o Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("this is a bug: panic: %v", p)
		}
	}()
	return exec(ctx, s)
}

func event(s Step, kind report.Kind, now time.Time, more func(*report.Event)) report.Event {
	e := report.Event{Time: now, Kind: kind, Host: s.Host, Step: s.ID, Title: s.Title}
	if more != nil {
		more(&e)
	}
	return e
}

// Lines is the plan for people, one line per step in order, as a dry run shows it.
func (p Plan) Lines() []string {
	wID, wHost := 0, 0
	for _, s := range p.Steps {
		wID, wHost = max(wID, len(s.ID)), max(wHost, len(s.Host))
	}
	var out []string
	for _, s := range p.Steps {
		mark, text := "+", s.Title
		if s.Skip != "" {
			mark, text = "-", s.Title+" (skipped: "+s.Skip+")"
		}
		out = append(out, fmt.Sprintf("%s %-*s  %-*s  %s", mark, wID, s.ID, wHost, s.Host, text))
	}
	return out
}
