package cli

import (
	"io"
	"sync"

	"golang.org/x/term"
	"k8s.io/klog/v2"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Progress shows what happens, in the form that fits where it goes: events for
// programs, live lines on a terminal, else plain lines.
type Progress struct {
	w      io.Writer
	output Output

	mu      sync.Mutex
	current report.Sink
	end     func()
}

// NewProgress begins showing on w: events for programs, one a document, else lines for people.
func NewProgress(w io.Writer, output Output) *Progress {
	p := &Progress{w: w, output: output}
	p.Open()
	return p
}

// Emit shows an event.
func (p *Progress) Emit(e report.Event) {
	p.mu.Lock()
	sink := p.current
	p.mu.Unlock()
	sink.Emit(e)
}

// Close ends the live lines on a terminal. It must come before any other
// output; what is still emitted is shown as plain lines.
func (p *Progress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

// Open begins showing, again after a Close.
func (p *Progress) Open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current, p.end = newSink(p.w, p.output)
}

func newSink(w io.Writer, output Output) (sink report.Sink, end func()) {
	nothing := func() {}
	if output.ForPrograms() {
		return report.JSON(output.Documents(w)), nothing
	}
	style := StyleFor(w)
	if f, ok := Terminal(w); ok && Drawable() && !klog.V(1).Enabled() { // A log would be written into live lines.
		size := func() (columns, rows int) {
			columns, rows, err := term.GetSize(int(f.Fd()))
			if err != nil {
				// A terminal that does not tell is taken for the usual one.
				return 80, 24
			}
			return columns, rows
		}
		t := report.NewTerminal(w, size, style)
		return t, t.Close
	}
	style.Clock = true
	return report.Plain(w, style), nothing
}
