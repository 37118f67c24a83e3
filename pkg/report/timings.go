package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// Timing is one step's time.
type Timing struct {
	Step  string `json:"step"`
	Title string `json:"title,omitempty"`
	Host  string `json:"host,omitempty"`
	// Start and End are seconds since the first event.
	Start float64 `json:"start"`
	End   float64 `json:"end"`
	// Changed, Failed tell how it ended.
	Changed bool `json:"changed,omitempty"`
	Failed  bool `json:"failed,omitempty"`
	// Critical: the whole would have been shorter, had this step been.
	Critical bool `json:"critical,omitempty"`
}

// Seconds is how long it took.
func (t Timing) Seconds() float64 { return t.End - t.Start }

// Recorder keeps when each step ran. Its zero value is ready.
type Recorder struct {
	mu     sync.Mutex
	first  time.Time
	starts map[string]time.Time
	ended  []Timing
}

// Emit takes an event in.
func (r *Recorder) Emit(e Event) {
	e = clean(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first.IsZero() {
		r.first, r.starts = e.Time, map[string]time.Time{}
	}
	switch e.Kind {
	case StepStarted:
		r.starts[e.Step] = e.Time
	case StepDone, StepFailed:
		start, known := r.starts[e.Step]
		if !known {
			start = e.Time.Add(-e.Elapsed)
		}
		delete(r.starts, e.Step)
		r.ended = append(r.ended, Timing{Step: e.Step, Title: title(e), Host: e.Host,
			Start: start.Sub(r.first).Seconds(), End: e.Time.Sub(r.first).Seconds(),
			Changed: e.Changed, Failed: e.Kind == StepFailed})
	}
}

// Timings returns the steps that ended in the order of their start, with the
// critical path marked. After names the steps that each one had to wait for;
// for a step that is not in it, the one that ended last before it began is taken.
func (r *Recorder) Timings(after map[string][]string) []Timing {
	r.mu.Lock()
	out := slices.Clone(r.ended)
	r.mu.Unlock()
	slices.SortStableFunc(out, func(a, b Timing) int { return cmp.Compare(a.Start, b.Start) })
	markCritical(out, after)
	return out
}

// sameMoment is the gap, in seconds, that is forgiven between the end of one
// step and the start of the one that waited for it.
const sameMoment = 0.05

// markCritical goes back from the step that ended last, always to the one among
// its predecessors that ended last.
func markCritical(steps []Timing, after map[string][]string) {
	if len(steps) == 0 {
		return
	}
	at := 0
	for i, s := range steps {
		if s.End > steps[at].End {
			at = i
		}
	}
	for at >= 0 && !steps[at].Critical {
		steps[at].Critical = true
		wanted, named := after[steps[at].Step]
		next := -1
		for i, s := range steps {
			if named && !slices.Contains(wanted, s.Step) || s.Critical || s.End > steps[at].Start+sameMoment {
				continue
			}
			if next < 0 || s.End > steps[next].End {
				next = i
			}
		}
		at = next
	}
}

// WriteTimings prints the steps as a table, then the sums per host and the
// critical path's.
func WriteTimings(w io.Writer, timings []Timing) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(tab, "\tSTART\tTOOK\tHOST\tSTEP\t"); err != nil {
		return err
	}
	var hosts []string
	busy := map[string]float64{}
	critical, end := 0.0, 0.0
	for _, t := range timings {
		mark := ""
		if t.Critical {
			mark = "*"
			critical += t.Seconds()
		}
		note := ""
		switch {
		case t.Failed:
			note = "failed"
		case !t.Changed:
			note = "unchanged"
		}
		end = max(end, t.End)
		if _, seen := busy[t.Host]; !seen {
			hosts = append(hosts, t.Host)
		}
		busy[t.Host] += t.Seconds()
		if _, err := fmt.Fprintf(tab, "%s\t%.1fs\t%.1fs\t%s\t%s\t%s\n", mark, t.Start, t.Seconds(), hostName(t.Host), t.Title, note); err != nil {
			return err
		}
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	for _, h := range hosts {
		if _, err := fmt.Fprintf(w, "%s: %.1fs in its steps\n", hostName(h), busy[h]); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%.1fs in all, of which %.1fs on the critical path (*)\n", end, critical)
	return err
}
