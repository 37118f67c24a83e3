package report

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Style says how lines for people look.
type Style struct {
	// Color uses ANSI colours.
	Color bool
	// ASCII avoids every character beyond ASCII.
	ASCII bool
	// Clock puts the time of day in front of every line.
	Clock bool
}

// maxDetail is how many lines of a failed command's output people get; the last ones tell.
const maxDetail = 40

// ANSI's codes for colours.
const (
	ansiRed    = "31"
	ansiGreen  = "32"
	ansiYellow = "33"
	ansiCyan   = "36"
	ansiDim    = "2"
	ansiBold   = "1"
)

func (s Style) paint(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Mark is the sign in front of an event of that kind, in its colour.
func (s Style) Mark(k Kind) string {
	sign, code := s.mark(k)
	return s.paint(code, sign)
}

// mark is the sign in front of a line, and its colour.
func (s Style) mark(k Kind) (sign, code string) {
	switch k {
	case StepStarted:
		return s.pick("→", "->"), ansiCyan
	case StepDone:
		return s.pick("✓", "ok"), ansiGreen
	case StepSkipped:
		return s.pick("·", "--"), ansiDim
	case StepFailed:
		return s.pick("✗", "!!"), ansiRed
	case Warning:
		return s.pick("!", "! "), ansiYellow
	default:
		return s.pick(" ", "  "), ""
	}
}

func (s Style) pick(unicode, ascii string) string {
	if s.ASCII {
		return ascii
	}
	return unicode
}

// Lines are what an event is for people, as plain text: one line, and for a
// failure what to do next and the failed command's output below it.
func (s Style) Lines(e Event) []string {
	e = clean(e)
	sign, code := s.mark(e.Kind)
	head := s.paint(code, sign) + " "
	if s.Clock {
		head = e.Time.Format("15:04:05") + " " + head
	}
	body := e.Title
	if body == "" {
		body = e.Step
	}
	switch e.Kind {
	case Info, Warning:
		body = e.Message
	case StepFailed:
		body += ": " + e.Error
	default:
		if e.Message != "" {
			body += ": " + e.Message
		}
	}
	tail := ""
	if e.Elapsed > 0 && e.Kind != StepSkipped {
		tail = "  " + s.paint(ansiDim, Elapsed(e.Elapsed))
	}
	if e.Kind == StepDone && !e.Changed && e.Host != "" {
		tail += s.paint(ansiDim, "  unchanged")
	}
	where := ""
	if e.Host != "" {
		where = s.paint(ansiBold, e.Host) + "  "
	}
	first, rest, _ := strings.Cut(printable(body), "\n")
	out := []string{head + where + first + tail}
	for _, more := range split(rest) {
		out = append(out, "    "+more)
	}
	return append(out, s.below(e)...)
}

// below is what stands under an event's line: the output of the failed command
// and what to do next.
func (s Style) below(e Event) []string {
	var out []string
	detail := split(e.Detail)
	if over := len(detail) - maxDetail; over > 0 {
		detail = detail[over:]
		out = append(out, "    "+s.paint(ansiDim, fmt.Sprintf("| (%d lines before; -o json has them all)", over)))
	}
	for _, line := range detail {
		out = append(out, "    "+s.paint(ansiDim, "| ")+printable(line))
	}
	for i, line := range split(e.Hint) {
		arrow := s.pick("→ ", "-> ")
		if i > 0 {
			arrow = "  "
		}
		out = append(out, "    "+s.paint(ansiCyan, arrow)+printable(line))
	}
	return out
}

func split(text string) []string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// printable takes out what would move the cursor or change a terminal's state.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
}

// Elapsed writes a duration for people: 0.4s, 12.3s, 2m05s, 1h03m. Less than
// nothing, which two clocks can make, is nothing.
func Elapsed(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}
