package bundle

import (
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
	s.emit(report.Event{Kind: report.StepStarted, Step: id, Title: title})
	return s.quiet(id, title)
}

// quiet is a step of which only the end is told: one of many that go on at
// once, while another tells of their progress.
func (s stepper) quiet(id, title string) *step {
	now := time.Now()
	return &step{stepper: s, id: id, title: title, began: now, told: now}
}

// step is one running step.
type step struct {
	stepper
	id, title string
	began     time.Time

	mu    sync.Mutex
	told  time.Time
	pace  pace
	ended bool
	// sum is told with a good end.
	sum string
}

// progress tells how many bytes of how many, how fast and for how long yet, now
// and then.
func (s *step) progress(done, total int64) {
	s.mu.Lock()
	now := time.Now()
	s.pace.at(now, done)
	text := bytesOf(done, total) + s.pace.text(now, total-done)
	s.mu.Unlock()
	s.tell(text)
}

// tell shows a text beside the running step, now and then.
func (s *step) tell(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.told) < progressEvery || s.ended {
		return
	}
	s.told = time.Now()
	s.emit(report.Event{Kind: report.StepProgress, Step: s.id, Title: s.title, Message: text})
}

// summary is told with the step's good end.
func (s *step) summary(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum = text
}

// end ends the step and hands the error on. Only the first call is told.
func (s *step) end(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return err
	}
	s.ended = true
	e := report.Event{Kind: report.StepDone, Changed: true, Step: s.id, Title: s.title, Message: s.sum, Elapsed: time.Since(s.began)}
	if err != nil {
		e.Kind, e.Changed, e.Message, e.Error = report.StepFailed, false, "", err.Error()
	}
	s.emit(e)
	return err
}
