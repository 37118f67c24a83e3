package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

func TestFrames(t *testing.T) {
	l := newLive(Style{})
	var b strings.Builder
	for _, e := range story() {
		for _, line := range l.apply(e) {
			b.WriteString("scroll | " + line + "\n")
		}
		for _, line := range l.frame(e.Time.Add(50*time.Millisecond), 60, 24) {
			b.WriteString("live   | " + line + "\n")
		}
		b.WriteString("\n")
	}
	golden.Compare(t, "frames.txt", b.String())
}

func TestFrameFitsTheTerminal(t *testing.T) {
	for _, style := range []Style{{}, {Color: true}, {ASCII: true}} {
		for _, size := range [][2]int{{20, 6}, {40, 10}, {80, 24}, {200, 50}} {
			l := newLive(style)
			for i := range 40 {
				host := fmt.Sprintf("a-rather-long-host-name-%d", i)
				l.apply(Event{Time: at(0), Kind: StepStarted, Host: host, Step: host, Title: strings.Repeat("long ", 30)})
				if i%3 == 0 {
					l.apply(Event{Time: at(1), Kind: StepDone, Host: host, Step: host, Title: strings.Repeat("long ", 30)})
				}
			}
			lines := l.frame(at(4000), size[0], size[1])
			if len(lines) == 0 || len(lines) > size[1]/2 {
				t.Errorf("%v %v: %d lines, want some and at most half of the rows", style, size, len(lines))
			}
			for _, line := range lines {
				if w := visible(line); w >= size[0] {
					t.Errorf("%v %v: %d columns: %q", style, size, w, line)
				}
				if style.ASCII && len(line) != utf8.RuneCountInString(line) {
					t.Errorf("not ASCII: %q", line)
				}
			}
		}
	}
}

func TestHostsInOrder(t *testing.T) {
	l := newLive(Style{})
	for _, h := range []string{"w1", "cp10", "", "cp9", "etcd1"} {
		l.apply(Event{Time: at(0), Kind: StepStarted, Host: h, Step: h, Title: "x"})
	}
	if got := strings.Join(l.hosts, " "); got != "cp9 cp10 etcd1 w1 " {
		t.Errorf("got %q", got)
	}
}

func TestTinyTerminalHasNoLiveLines(t *testing.T) {
	l := newLive(Style{})
	l.apply(Event{Time: at(0), Kind: StepStarted, Host: "h", Step: "s"})
	if got := l.frame(at(1), 10, 3); got != nil {
		t.Errorf("got %q", got)
	}
}

func TestBusyHostsComeFirstWhenThereIsNoRoom(t *testing.T) {
	l := newLive(Style{})
	for i := range 20 {
		h := fmt.Sprintf("idle%d", i)
		l.apply(Event{Time: at(0), Kind: StepDone, Host: h, Step: h})
	}
	l.apply(Event{Time: at(0), Kind: StepStarted, Host: "busy", Step: "s", Title: "work"})
	frame := strings.Join(l.frame(at(1), 80, 12), "\n")
	if !strings.Contains(frame, "busy") || !strings.Contains(frame, "more hosts") {
		t.Errorf("frame:\n%s", frame)
	}
}

func TestNarrowerTerminalCountsWrappedRows(t *testing.T) {
	for _, tc := range []struct {
		widths  []int
		columns int
		want    int
	}{{nil, 80, 0}, {[]int{10, 80}, 80, 2}, {[]int{10, 81}, 80, 3}, {[]int{79, 79}, 40, 4}, {[]int{5}, 0, 1}} {
		if got := rowsOf(tc.widths, tc.columns); got != tc.want {
			t.Errorf("%v on %d columns: %d rows, want %d", tc.widths, tc.columns, got, tc.want)
		}
	}
}

func TestVisible(t *testing.T) {
	s := Style{Color: true}
	if got := visible(s.paint(ansiRed, "✗") + " ab " + s.paint(ansiDim, "c")); got != 6 {
		t.Errorf("got %d, want 6", got)
	}
}

// screen plays what was written on a terminal wide enough and returns the text
// that stands there in the end.
func screen(t *testing.T, written string) string {
	t.Helper()
	rows, row, col := [][]rune{nil}, 0, 0
	for written != "" {
		var up int
		if n, _ := fmt.Sscanf(written, "\x1b[%dA", &up); n == 1 {
			if row -= up; row < 0 {
				t.Fatalf("the cursor goes %d rows above the top", -row)
			}
			written = written[strings.IndexByte(written, 'A')+1:]
			continue
		}
		switch {
		case strings.HasPrefix(written, "\x1b[K"):
			rows[row] = rows[row][:min(col, len(rows[row]))]
			written = written[3:]
		case strings.HasPrefix(written, "\x1b[J"):
			rows[row] = rows[row][:min(col, len(rows[row]))]
			rows = rows[:row+1]
			written = written[3:]
		case written[0] == '\r':
			col, written = 0, written[1:]
		case written[0] == '\n':
			row, col, written = row+1, 0, written[1:]
			if row == len(rows) {
				rows = append(rows, nil)
			}
		default:
			r, size := utf8.DecodeRuneInString(written)
			if r == '\x1b' {
				t.Fatalf("unknown sequence in %q", written)
			}
			rows[row] = append(rows[row][:col], append([]rune{r}, rows[row][min(col+1, len(rows[row])):]...)...)
			col, written = col+1, written[size:]
		}
	}
	lines := make([]string, len(rows))
	for i, r := range rows {
		lines[i] = string(r)
	}
	return strings.Join(lines, "\n")
}

func TestTerminalLeavesOnlyWhatScrolled(t *testing.T) {
	var b bytes.Buffer
	term := NewTerminal(&b, func() (int, int) { return 60, 24 }, Style{})
	plainLines := []string{}
	for _, e := range story() {
		term.Emit(e)
		if e.Kind != StepStarted && e.Kind != StepProgress {
			plainLines = append(plainLines, (Style{}).Lines(e)...)
		}
	}
	term.Close()
	term.Close()
	got := screen(t, b.String())
	want := strings.Join(plainLines, "\n") + "\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTerminalAfterCloseStillTells(t *testing.T) {
	var b bytes.Buffer
	term := NewTerminal(&b, func() (int, int) { return 60, 24 }, Style{})
	term.Close()
	term.Emit(Event{Kind: Warning, Message: "late"})
	if !strings.Contains(b.String(), "late") {
		t.Errorf("got %q", b.String())
	}
}
