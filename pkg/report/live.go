package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// live is what a terminal shows beside what scrolled by: a line per host with
// what it is doing. It is a value that events change and that is drawn from
// nothing else, so that it is tested without any terminal.
type live struct {
	style Style
	// hosts in the order of their names; "" is the cluster and the last.
	hosts []string
	lines map[string]*hostLine
	// begun is the time of the first event; done counts ended steps.
	begun time.Time
	done  int
}

// hostLine is one host's line.
type hostLine struct {
	running []*runningStep
	// last is the title of the step that ended last.
	last   string
	failed bool
}

type runningStep struct {
	id, title, message string
	since              time.Time
}

func newLive(style Style) *live {
	return &live{style: style, lines: map[string]*hostLine{}}
}

// apply takes an event in and returns the lines that scroll by because of it.
func (l *live) apply(e Event) []string {
	e = clean(e)
	if l.begun.IsZero() {
		l.begun = e.Time
	}
	switch e.Kind {
	case StepStarted:
		h := l.host(e.Host)
		h.end(e.Step)
		h.running = append(h.running, &runningStep{id: e.Step, title: title(e), message: e.Message, since: e.Time})
		return nil
	case StepProgress:
		for _, s := range l.host(e.Host).running {
			if s.id == e.Step {
				s.message = e.Message
			}
		}
		return nil
	case StepDone, StepSkipped, StepFailed:
		h := l.host(e.Host)
		h.end(e.Step)
		h.last, h.failed = title(e), e.Kind == StepFailed
		l.done++
	}
	return l.style.Lines(e)
}

func title(e Event) string {
	if e.Title != "" {
		return e.Title
	}
	return e.Step
}

func (l *live) host(name string) *hostLine {
	h, known := l.lines[name]
	if !known {
		h = &hostLine{}
		l.lines[name] = h
		l.hosts = append(l.hosts, name)
		slices.SortFunc(l.hosts, func(a, b string) int {
			switch {
			case a == "" || b == "":
				return strings.Compare(b, a)
			case len(a) != len(b) && strings.TrimRight(a, digits) == strings.TrimRight(b, digits):
				return cmp.Compare(len(a), len(b)) // cp9 before cp10
			}
			return strings.Compare(a, b)
		})
	}
	return h
}

// end takes a step out of those that run.
func (h *hostLine) end(id string) {
	for i, s := range h.running {
		if s.id == id {
			h.running = append(h.running[:i], h.running[i+1:]...)
			return
		}
	}
}

// The signs of a running step, one after the other.
var (
	spinner      = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
	spinnerASCII = []string{"|", "/", "-", "\\"}
)

// spinEvery is how long each sign stays.
const spinEvery = 100 * time.Millisecond

// frame draws the live lines for a terminal of that many columns and rows:
// never wider, and leaving at least half of the rows to what scrolls. Hosts
// that do nothing give way first.
func (l *live) frame(now time.Time, columns, rows int) []string {
	if len(l.hosts) == 0 || columns < 20 || rows < 6 {
		return nil
	}
	hosts, left := l.hosts, 0
	if most := rows/2 - 1; len(hosts) > most {
		hosts, left = l.busiest(most-1), len(l.hosts)-(most-1)
	}
	pad := 0
	for _, name := range hosts {
		pad = max(pad, utf8.RuneCountInString(hostName(name)))
	}
	pad = min(pad, columns/3)
	var out []string
	for _, name := range hosts {
		out = append(out, l.line(name, now, pad, columns))
	}
	if left > 0 {
		out = append(out, l.style.paint(ansiDim, cut(fmt.Sprintf("  and %d more hosts", left), columns-1)))
	}
	steps := "steps"
	if l.done == 1 {
		steps = "step"
	}
	total := fmt.Sprintf("  %d %s done, %s", l.done, steps, Elapsed(now.Sub(l.begun)))
	return append(out, l.style.paint(ansiDim, cut(total, columns-1)))
}

const digits = "0123456789"

func hostName(name string) string {
	if name == "" {
		return "cluster"
	}
	return name
}

// busiest returns n hosts, those that do something first, in their order.
func (l *live) busiest(n int) []string {
	var busy, idle []string
	for _, name := range l.hosts {
		if len(l.lines[name].running) > 0 {
			busy = append(busy, name)
		} else {
			idle = append(idle, name)
		}
	}
	all := append(busy, idle...)
	return all[:min(max(n, 0), len(all))]
}

// line is one host's line: sign, name, how long, what.
func (l *live) line(name string, now time.Time, pad, columns int) string {
	h := l.lines[name]
	who := fmt.Sprintf("%-*s", pad, cut(hostName(name), pad))
	room := columns - 1 - 2 - pad - 2 - 6 - 2
	if len(h.running) == 0 {
		sign, code := l.style.mark(StepDone)
		if h.failed {
			sign, code = l.style.mark(StepFailed)
		}
		sign = cut(sign, 1)
		return l.style.paint(code, sign) + " " + l.style.paint(ansiDim, who+"          "+cut(h.last, room))
	}
	oldest := h.running[0]
	text := oldest.title
	if oldest.message != "" {
		text += ": " + oldest.message
	}
	if more := len(h.running) - 1; more > 0 {
		text = fmt.Sprintf("%s (and %d more)", text, more)
	}
	took := fmt.Sprintf("%6s", Elapsed(now.Sub(oldest.since)))
	room -= len(took) - 6
	return l.style.paint(ansiCyan, l.spin(now)) + " " + l.style.paint(ansiBold, who) + "  " +
		l.style.paint(ansiDim, took) + "  " + cut(printable(text), room)
}

func (l *live) spin(now time.Time) string {
	signs := spinner
	if l.style.ASCII {
		signs = spinnerASCII
	}
	n := int(now.Sub(l.begun) / spinEvery)
	return signs[max(n, 0)%len(signs)]
}

// cut shortens a text to that many columns, with a mark that it was longer.
func cut(text string, columns int) string {
	if columns <= 0 {
		return ""
	}
	runes := []rune(text)
	for i, r := range runes {
		if r == '\n' {
			runes = runes[:i]
			break
		}
	}
	if len(runes) <= columns {
		return string(runes)
	}
	if columns == 1 {
		return string(runes[:1])
	}
	return string(runes[:columns-1]) + "~"
}
