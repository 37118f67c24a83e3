package bundle

import (
	"fmt"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// progressEvery bounds how often a running step tells how far it is.
const progressEvery = 250 * time.Millisecond

// stepper turns work into events.
type stepper struct{ sink report.Sink }

func (s stepper) emit(e report.Event) {
	if s.sink != nil {
		e.Time = time.Now()
		s.sink.Emit(e)
	}
}

func (s stepper) info(message string) { s.emit(report.Event{Kind: report.Info, Message: message}) }

func (s stepper) start(id, title string) *step {
	now := time.Now()
	s.emit(report.Event{Kind: report.StepStarted, Step: id, Title: title})
	return &step{stepper: s, id: id, title: title, began: now, told: now}
}

// step is one running step.
type step struct {
	stepper
	id, title string
	began     time.Time

	mu    sync.Mutex
	told  time.Time
	ended bool
}

// progress tells how many bytes of how many, now and then.
func (s *step) progress(done, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.told) < progressEvery || s.ended {
		return
	}
	s.told = time.Now()
	message := formatBytes(done)
	if total > 0 {
		message += " of " + formatBytes(total)
	}
	s.emit(report.Event{Kind: report.StepProgress, Step: s.id, Title: s.title, Message: message})
}

// note tells of something that went wrong and is tried again.
func (s *step) note(err error) {
	s.emit(report.Event{Kind: report.StepProgress, Step: s.id, Title: s.title, Message: fmt.Sprintf("tried again: %v", err)})
}

// end ends the step and hands the error on. Only the first call is told.
func (s *step) end(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return err
	}
	s.ended = true
	e := report.Event{Kind: report.StepDone, Changed: true, Step: s.id, Title: s.title, Elapsed: time.Since(s.began)}
	if err != nil {
		e.Kind, e.Changed, e.Error = report.StepFailed, false, err.Error()
	}
	s.emit(e)
	return err
}

// formatBytes writes a size for people.
func formatBytes(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n), 0
	for value >= unit && prefix < 4 {
		value /= unit
		prefix++
	}
	return fmt.Sprintf("%.1f %cB", value, " kMGT"[prefix])
}
