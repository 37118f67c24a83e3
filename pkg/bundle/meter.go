package bundle

import (
	"fmt"
	"sync"
	"time"
)

// paceWindow is how far back the rate of a transfer looks: long enough not to
// jump, short enough to notice a change.
const paceWindow = 10 * time.Second

// pace is how fast a transfer goes.
type pace struct {
	seen []mark
}

// mark is where a transfer was at a time.
type mark struct {
	when time.Time
	done int64
}

// at notes where the transfer is.
func (p *pace) at(now time.Time, done int64) {
	if n := len(p.seen); n > 1 && now.Sub(p.seen[n-2].when) < progressEvery {
		// Few marks are enough, whatever the size of a read.
		p.seen[n-1] = mark{now, done}
		return
	}
	p.seen = append(p.seen, mark{now, done})
	for len(p.seen) > 2 && now.Sub(p.seen[1].when) > paceWindow {
		p.seen = p.seen[1:]
	}
}

// skip moves all marks by what did not have to be transferred.
func (p *pace) skip(bytes int64) {
	for n := range p.seen {
		p.seen[n].done += bytes
	}
}

// rate is in bytes per second, 0 when it is not known.
func (p *pace) rate() float64 {
	if len(p.seen) < 2 {
		return 0
	}
	first, last := p.seen[0], p.seen[len(p.seen)-1]
	took := last.when.Sub(first.when)
	if took < progressEvery || last.done <= first.done {
		return 0
	}
	return float64(last.done-first.done) / took.Seconds()
}

// text is the rate, and how long the rest takes where there is one, with two
// blanks before each. There is no rate when nothing came for a while.
func (p *pace) text(now time.Time, left int64) string {
	rate := p.rate()
	if rate <= 0 || now.Sub(p.seen[len(p.seen)-1].when) > paceWindow {
		return ""
	}
	out := "  " + formatBytes(int64(rate)) + "/s"
	if left > 0 {
		out += "  " + formatLeft(time.Duration(float64(left)/rate*float64(time.Second))) + " left"
	}
	return out
}

// meter tells how far several transfers are together: items, bytes, rate and
// time left.
type meter struct {
	step *step

	mu           sync.Mutex
	items, ended int
	// total is -1 when it is the sum of what the parts say.
	total   int64
	parts   []*part
	pace    pace
	current int64
}

func newMeter(s *step, items int, total int64) *meter {
	m := &meter{step: s, items: items, total: total}
	m.pace.at(time.Now(), 0)
	return m
}

// part is one of the meter's transfers.
type part struct {
	meter       *meter
	done, total int64
	begun       bool
}

// part begins a transfer.
func (m *meter) part() *part {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &part{meter: m}
	m.parts = append(m.parts, p)
	return p
}

// to says how far a part is; its total may be -1. It goes back when the
// transfer began anew.
func (p *part) to(done, total int64) {
	m := p.meter
	m.mu.Lock()
	if !p.begun {
		// What an earlier run left says nothing about the rate.
		m.pace.skip(done)
	}
	m.current += done - p.done
	p.begun, p.done, p.total = true, done, total
	m.pace.at(time.Now(), m.current)
	text := m.text()
	m.mu.Unlock()
	m.step.tell(text)
}

// ended ends a part that is an item.
func (p *part) ended() { p.meter.endItem() }

// endItem counts one item as done.
func (m *meter) endItem() {
	m.mu.Lock()
	m.ended++
	text := m.text()
	if m.ended == m.items {
		m.step.summary(fmt.Sprintf("%d, %s", m.items, formatBytes(m.current)))
	}
	m.mu.Unlock()
	m.step.tell(text)
}

// text is what people see: 7 of 14  123 of 300 MB  11.2 MB/s  16s left.
func (m *meter) text() string {
	total := m.total
	if total < 0 {
		total = m.sum()
	}
	return fmt.Sprintf("%d of %d  %s", m.ended, m.items, bytesOf(m.current, total)) + m.pace.text(time.Now(), total-m.current)
}

// sum is the size of all parts, -1 while one of them is not known.
func (m *meter) sum() (n int64) {
	if len(m.parts) < m.items {
		return -1
	}
	for _, p := range m.parts {
		if p.begun && p.total < 0 {
			return -1
		}
		n += p.total
	}
	return n
}

// bytesOf writes how much of how much, -1 for not known: 123 of 300 MB.
func bytesOf(done, total int64) string {
	if total <= 0 {
		return formatBytes(done)
	}
	whole := formatBytes(total)
	_, unit := scale(total)
	value, own := scale(done)
	if own != unit {
		return formatBytes(done) + " of " + whole
	}
	return number(value) + " of " + whole
}

// formatBytes writes a size for people, in powers of 1000.
func formatBytes(n int64) string {
	value, unit := scale(n)
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return number(value) + " " + unit
}

func scale(n int64) (value float64, unit string) {
	value = float64(n)
	units := []string{"B", "kB", "MB", "GB", "TB"}
	for len(units) > 1 && value >= 1000 {
		value, units = value/1000, units[1:]
	}
	return value, units[0]
}

func number(value float64) string {
	if value >= 100 || value == float64(int64(value)) {
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.1f", value)
}

// formatLeft writes a time that is only a guess.
func formatLeft(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(1, int(d.Seconds()+0.5)))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 100*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return "days"
	}
}
