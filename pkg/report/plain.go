package report

import (
	"io"
	"strings"
	"sync"
	"time"
)

// Plain writes a line when a step starts and when it ends, for logs and
// terminals that can't be drawn on. Progress is left out, except once in a
// while for a step that takes long.
func Plain(w io.Writer, style Style) Sink {
	p := &plain{w: w, style: style, shown: map[string]time.Time{}}
	return SinkFunc(p.emit)
}

// progressEvery is the shortest time between two progress lines of one step.
const progressEvery = 15 * time.Second

type plain struct {
	mu    sync.Mutex
	w     io.Writer
	style Style
	// shown is when a running step was last written about.
	shown map[string]time.Time
}

func (p *plain) emit(e Event) {
	e = clean(e)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case StepStarted:
		p.shown[e.Step] = e.Time
	case StepProgress:
		last, running := p.shown[e.Step]
		if running && e.Time.Sub(last) < progressEvery {
			return
		}
		p.shown[e.Step] = e.Time
	default:
		delete(p.shown, e.Step)
	}
	// A reader that went away is no reason to stop: the work goes on.
	_, _ = io.WriteString(p.w, strings.Join(p.style.Lines(e), "\n")+"\n")
}
