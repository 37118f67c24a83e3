package images

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// showInterval is how often at most the task tells how far it is.
	showInterval = time.Second
	// rateWindow is what a rate is the mean of.
	rateWindow = 5 * time.Second
)

// progress makes the line beside the step out of what the peer says.
type progress struct {
	// names are the nodes of peers, by host:port.
	names map[string]string

	mu   sync.Mutex
	text string
	// handing says that only other nodes have something left to do.
	handing     bool
	total, done int
	last        string
	marks       []mark
}

// mark is how many bytes had come at a moment.
type mark struct {
	at    time.Time
	bytes int64
}

// say sets the line as it is.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
}

// fetching makes the line tell bytes, for so many images.
func (p *progress) fetching(total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text, p.total = "", total
}

// imported counts images.
func (p *progress) imported(done int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = max(p.done, done)
}

// handOn makes the line tell who is not done yet.
func (p *progress) handOn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text, p.handing = "all images are in place", true
}

// line is what is to be shown, empty when it is what was shown last.
func (p *progress) line(s swarm.Status, now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := p.text
	if text == "" {
		text = p.bytes(s, now)
	}
	if waiting := p.incomplete(s); p.handing && len(waiting) > 0 {
		text += ", handing on to " + strings.Join(waiting, ", ")
	}
	if text == p.last {
		return ""
	}
	p.last = text
	return text
}

// bytes tells how much has come, from where and how fast.
func (p *progress) bytes(s swarm.Status, now time.Time) string {
	came := s.FromFeed + s.FromPeers
	p.marks = append(p.marks, mark{now, came})
	for len(p.marks) > 2 && now.Sub(p.marks[0].at) > rateWindow {
		p.marks = p.marks[1:]
	}
	text := fmt.Sprintf("%s of %s", report.Size(s.Had), report.Size(s.Wanted))
	if first := p.marks[0]; came > first.bytes && now.After(first.at) && s.Had < s.Wanted {
		text += fmt.Sprintf(", %s/s", report.Size(int64(float64(came-first.bytes)/now.Sub(first.at).Seconds())))
	}
	if sources := from(s); sources != "" {
		text += " (" + sources + ")"
	}
	return text + fmt.Sprintf(", %d of %d images in place", p.done, p.total)
}

func from(s swarm.Status) string {
	var out []string
	if s.FromFeed > 0 {
		out = append(out, report.Size(s.FromFeed)+" from the workstation")
	}
	if s.FromPeers > 0 {
		out = append(out, report.Size(s.FromPeers)+" from other nodes")
	}
	return strings.Join(out, ", ")
}

// imports is how many images were put in place, and whether that goes on.
func (p *progress) imports() (done int, going bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done, p.total > 0 && !p.handing
}

// incomplete are the peers that are reachable and not done.
func (p *progress) incomplete(s swarm.Status) []string {
	var out []string
	for _, peer := range s.Peers {
		if peer.Reachable && !peer.Complete {
			out = append(out, cmp.Or(p.names[peer.Addr], peer.Addr))
		}
	}
	return out
}
