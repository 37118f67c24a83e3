package bundle

import (
	"context"
	"fmt"
	"io"
	"time"
)

// stallAfter is how long a transfer may be without a byte before it is broken
// off and tried again. A connection may be alive and yet bring nothing.
const stallAfter = 2 * time.Minute

// stalled is the error of a transfer that brought nothing for too long.
type stalled struct{ after time.Duration }

func (s stalled) Error() string { return fmt.Sprintf("nothing came for %s", s.after) }

// Timeout makes it one that may go well another time.
func (s stalled) Timeout() bool { return true }

// stallWatch ends a transfer's context when nothing comes.
type stallWatch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// watchStall begins to watch. The request is made with the context that comes
// back, its body read through reader.
func watchStall(parent context.Context) (context.Context, *stallWatch) {
	ctx, cancel := context.WithCancelCause(parent)
	w := &stallWatch{ctx: ctx, cancel: cancel}
	w.timer = time.AfterFunc(stallAfter, func() { cancel(stalled{stallAfter}) })
	return ctx, w
}

// end lets go of the context.
func (w *stallWatch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// reader puts the end off whenever something comes.
func (w *stallWatch) reader(r io.Reader) io.Reader { return &stallReader{watch: w, r: r} }

type stallReader struct {
	watch *stallWatch
	r     io.Reader
}

func (s *stallReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 {
		s.watch.timer.Reset(stallAfter)
	}
	return n, err
}

// explain says that it was the stall, when it was: what the transport then
// returns is only that its context has ended.
func (w *stallWatch) explain(err error) error {
	if cause, ok := context.Cause(w.ctx).(stalled); ok {
		return cause
	}
	return err
}
