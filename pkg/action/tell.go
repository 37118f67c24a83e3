package action

import (
	"fmt"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Tell emits a line for people that belongs to no step.
func Tell(sink report.Sink, format string, args ...any) {
	sink.Emit(report.Event{Time: time.Now(), Kind: report.Info, Message: fmt.Sprintf(format, args...)})
}

// Warn emits a line that deserves attention; hint says what to do, and may be empty.
func Warn(sink report.Sink, hint, format string, args ...any) {
	sink.Emit(report.Event{Time: time.Now(), Kind: report.Warning, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// Begin tells that a step of the workstation's own has begun; the returned function that it
// has ended, well with an empty failure. It does so once.
func Begin(sink report.Sink, id, title string) (end func(failure string)) {
	started := time.Now()
	sink.Emit(report.Event{Time: started, Kind: report.StepStarted, Step: id, Title: title})
	var once sync.Once
	return func(failure string) {
		once.Do(func() {
			e := report.Event{Time: time.Now(), Kind: report.StepDone, Step: id, Title: title, Elapsed: time.Since(started)}
			if failure != "" {
				e.Kind, e.Error = report.StepFailed, failure
			}
			sink.Emit(e)
		})
	}
}

// Step tells of a step of the workstation's own, and carries it out.
func Step(sink report.Sink, id, title string, do func() error) error {
	end := Begin(sink, id, title)
	err := do()
	if err != nil {
		end(err.Error())
		return err
	}
	end("")
	return nil
}
