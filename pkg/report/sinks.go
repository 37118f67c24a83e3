package report

import (
	"encoding/json"
	"io"
	"sync"
)

// Tee gives every event to all sinks, in their order.
func Tee(sinks ...Sink) Sink {
	return SinkFunc(func(e Event) {
		for _, s := range sinks {
			s.Emit(e)
		}
	})
}

// Discard drops all events.
func Discard() Sink { return SinkFunc(func(Event) {}) }

// JSON writes one document per line, without secrets.
func JSON(w io.Writer) Sink {
	var mu sync.Mutex
	return SinkFunc(func(e Event) {
		line, err := json.Marshal(clean(e))
		if err != nil {
			// An Event has only fields that always encode.
			return
		}
		mu.Lock()
		defer mu.Unlock()
		// A reader that went away is no reason to stop: the work goes on.
		_, _ = w.Write(append(line, '\n'))
	})
}

// Warnings passes on warnings, and leaves out all other events.
func Warnings(sink Sink) Sink {
	return SinkFunc(func(e Event) {
		if e.Kind == Warning {
			sink.Emit(e)
		}
	})
}

// Inner passes on what happens within a step, and leaves out its beginning and its end: they are
// those of a part of another step.
func Inner(sink Sink) Sink {
	return SinkFunc(func(e Event) {
		switch e.Kind {
		case StepProgress, Info, Warning:
			sink.Emit(e)
		}
	})
}
