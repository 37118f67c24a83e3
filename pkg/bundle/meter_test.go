package bundle

import (
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func TestPace(t *testing.T) {
	start := time.Unix(1700000000, 0)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	var p pace
	if p.rate() != 0 || p.text(start, 100) != "" {
		t.Error("a rate of nothing")
	}
	// A thousand small reads in ten seconds, a megabyte a second; then four.
	for i := range 1001 {
		p.at(at(float64(i)/100), int64(i)*10_000)
	}
	if got := p.text(at(10), 30_000_000); got != "  1 MB/s  30s left" {
		t.Errorf("got %q", got)
	}
	if n := len(p.seen); n > 60 {
		t.Errorf("%d marks", n)
	}
	for i := range 1201 {
		p.at(at(10+float64(i)/100), 10_000_000+int64(i)*40_000)
	}
	if got := p.text(at(22), 0); got != "  4 MB/s" {
		t.Errorf("the rate does not follow: %q", got)
	}
	p.skip(500_000_000)
	p.at(at(22.5), 560_000_000)
	if got := p.text(at(60), 1000); got != "" {
		t.Errorf("a rate although nothing comes: %q", got)
	}
	if got := p.text(at(23), -1); got != "  4 MB/s" {
		t.Errorf("what was there already counts: %q", got)
	}
}

func TestMeter(t *testing.T) {
	events := &recorder{}
	one := stepper{sink: events}.start("bundle/x", "x")
	m := newMeter(one, 3, 300_000_000)
	m.pace = pace{seen: []mark{{time.Now().Add(-10 * time.Second), 0}}}
	a, b := m.part(), m.part()
	b.to(50_000_000, 50_000_000) // There since an earlier run.
	a.to(0, 100_000_000)
	a.to(100_000_000, 100_000_000)
	m.endItem()
	m.mu.Lock()
	got := m.text()
	m.mu.Unlock()
	if got != "1 of 3  150 of 300 MB  10.0 MB/s  15s left" && got != "1 of 3  150 of 300 MB  10 MB/s  15s left" {
		t.Errorf("got %q", got)
	}
	a.to(40_000_000, 100_000_000) // Begun anew.
	if m.current != 90_000_000 {
		t.Errorf("%d bytes", m.current)
	}
	a.to(100_000_000, 100_000_000)
	m.endItem()
	m.endItem()
	if err := one.end(nil); err != nil {
		t.Fatal(err)
	}
	last := events.events[len(events.events)-1]
	if last.Kind != report.StepDone || last.Message != "3, 150 MB" {
		t.Errorf("got %+v", last)
	}
	// Sizes that are not known until a transfer begins.
	m = newMeter(one, 2, -1)
	c := m.part()
	c.to(10, 20)
	if got := m.text(); strings.Contains(got, " of 20") {
		t.Errorf("a total although one part is not known: %q", got)
	}
	m.part().to(5, 30)
	if got := m.text(); got != "0 of 2  15 of 50 B" {
		t.Errorf("got %q", got)
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		want        string
	}{
		{0, -1, "0 B"}, {999, 0, "999 B"}, {1500, -1, "1.5 kB"}, {123_400_000, 300_000_000, "123 of 300 MB"},
		{900_000, 300_000_000, "900 kB of 300 MB"}, {1_000_000_000, 3_200_000_000, "1 of 3.2 GB"}, {1 << 62, -1, "4611686 TB"},
	} {
		if got := bytesOf(c.done, c.total); got != c.want {
			t.Errorf("%d of %d: %q, want %q", c.done, c.total, got, c.want)
		}
	}
	for d, want := range map[time.Duration]string{0: "1s", 16400 * time.Millisecond: "16s", 90 * time.Second: "1m30s",
		3*time.Hour + 4*time.Minute: "3h04m", 1000 * time.Hour: "days"} {
		if got := formatLeft(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
