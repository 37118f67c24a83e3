package report

import "time"

// Kind says what an Event tells.
type Kind string

// The kinds of events.
const (
	// StepStarted: a step began.
	StepStarted Kind = "started"
	// StepProgress: something to show beside a running step (Message).
	StepProgress Kind = "progress"
	// StepDone: a step ended well; Changed tells whether it changed anything.
	StepDone Kind = "done"
	// StepSkipped: nothing was to be done; Message says why.
	StepSkipped Kind = "skipped"
	// StepFailed: a step ended badly; Error, Detail and Hint are set.
	StepFailed Kind = "failed"
	// Info is a line for people that belongs to no step.
	Info Kind = "info"
	// Warning is an Info that deserves attention; Hint says what to do.
	Warning Kind = "warning"
)

// Event is one thing that happened. It never holds a secret.
type Event struct {
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Host is where, empty for the whole cluster.
	Host string `json:"host,omitempty"`
	// Step is the step's stable ID, such as etcd/cp1.
	Step string `json:"step,omitempty"`
	// Title is the step's one line for people.
	Title   string `json:"title,omitempty"`
	Message string `json:"message,omitempty"`
	// Changed tells with StepDone whether the host or cluster was changed.
	Changed bool `json:"changed,omitempty"`
	// Elapsed is how long the step took, with StepDone, StepSkipped and
	// StepFailed. In JSON: seconds, as a number.
	Elapsed time.Duration `json:"elapsed,omitempty"`
	// Error is the short message of a failure.
	Error string `json:"error,omitempty"`
	// Detail is the failed command's whole output.
	Detail string `json:"detail,omitempty"`
	// Hint says what to do next.
	Hint string `json:"hint,omitempty"`
}

// Sink takes events. Emit may be called from many goroutines, must not block
// for long, and never fails: who can't show an event drops it.
type Sink interface {
	Emit(Event)
}

// SinkFunc makes a Sink of a function that may be called from many goroutines.
type SinkFunc func(Event)

// Emit calls f.
func (f SinkFunc) Emit(e Event) { f(e) }
