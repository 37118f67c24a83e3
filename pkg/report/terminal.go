package report

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"
)

// Terminal draws on a terminal: what ended scrolls by as plain lines, and
// below it a line per host tells what runs. Close it before anything else is
// printed.
type Terminal struct {
	w    io.Writer
	size func() (columns, rows int)
	now  func() time.Time

	mu    sync.Mutex
	state *live
	// drawn are the widths of the live lines on the screen.
	drawn  []int
	shown  string
	closed bool

	stop    chan struct{}
	stopped sync.WaitGroup
}

// NewTerminal draws on w. Size is asked before each drawing, so that a change
// of the window's size is followed.
func NewTerminal(w io.Writer, size func() (columns, rows int), style Style) *Terminal {
	t := &Terminal{w: w, size: size, now: time.Now, state: newLive(style), stop: make(chan struct{})}
	t.stopped.Add(1)
	go t.tick()
	return t
}

// tick redraws while something runs, for the elapsed times.
func (t *Terminal) tick() {
	defer t.stopped.Done()
	ticker := time.NewTicker(spinEvery)
	defer ticker.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-ticker.C:
			t.mu.Lock()
			t.draw(nil)
			t.mu.Unlock()
		}
	}
}

// Emit takes an event in. What scrolls is drawn at once, the rest soon.
func (t *Terminal) Emit(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.state.apply(e)
	if t.closed {
		// After the end nothing moves any more; what still comes is not lost.
		for _, l := range lines {
			_, _ = fmt.Fprintln(t.w, l)
		}
		return
	}
	if len(lines) > 0 {
		t.draw(lines)
	}
}

// Close takes the live lines off the screen and stops drawing.
func (t *Terminal) Close() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.closed = true
	close(t.stop)
	t.state = newLive(t.state.style)
	t.draw(nil)
	t.mu.Unlock()
	t.stopped.Wait()
}

// draw writes lines that scroll and the live lines anew, in one write: over the
// old ones and not after clearing them, so that nothing flickers.
func (t *Terminal) draw(scroll []string) {
	columns, rows := t.size()
	frame := t.state.frame(t.now(), columns, rows)
	var b bytes.Buffer
	if up := rowsOf(t.drawn, columns); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", up)
	}
	for _, l := range scroll {
		b.WriteString(l + "\x1b[K\n")
	}
	widths := make([]int, 0, len(frame))
	for _, l := range frame {
		b.WriteString(l + "\x1b[K\n")
		widths = append(widths, visible(l))
	}
	b.WriteString("\x1b[J")
	if len(scroll) == 0 && b.String() == t.shown {
		return
	}
	t.drawn, t.shown = widths, b.String()
	// A terminal that is gone is no reason to stop: the work goes on.
	_, _ = t.w.Write(b.Bytes())
}

// rowsOf counts the rows that lines of these widths take on a terminal, which
// may have become narrower since they were drawn.
func rowsOf(widths []int, columns int) int {
	rows := 0
	for _, w := range widths {
		rows++
		if columns > 0 && w > columns {
			rows += (w - 1) / columns
		}
	}
	return rows
}

// visible counts the characters of a line that take room: all but ANSI's codes.
func visible(line string) int {
	n := utf8.RuneCountInString(line)
	for i := 0; i < len(line); i++ {
		if line[i] != '\x1b' {
			continue
		}
		for j := i; j < len(line); j++ {
			n--
			if line[j] == 'm' {
				i = j
				break
			}
		}
	}
	return n
}
