package feed

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// feedStep is the workstation's own step beside the Operation's.
	feedStep  = "send"
	feedTitle = "send the images into the cluster"
	// spreadStep is the nodes': each is to hold every blob that it needs.
	spreadStep  = "spread"
	spreadTitle = "pass the images on from node to node"
	// feedEvery is how often it tells how far it is, feedWindow what a rate is
	// the mean of.
	feedEvery  = time.Second
	feedWindow = 5 * time.Second
)

// progress makes events of how far the sending is.
type progress struct {
	sink      report.Sink
	operation string
	now       func() time.Time

	mu          sync.Mutex
	began, told time.Time
	bytes       int64
	marks       []mark
	// allIn is the end of the workstation's step, everywhere that of the nodes'.
	started, allIn, everywhere bool
	closed                     swarm.Unreached
}

// mark is how many bytes had left at a moment.
type mark struct {
	at    time.Time
	bytes int64
}

func newProgress(sink report.Sink, operation string, now func() time.Time) *progress {
	return &progress{sink: sink, operation: operation, now: now, began: now()}
}

func (p *progress) emit(e report.Event) {
	e.Time = p.now()
	p.sink.Emit(e)
}

// log tells what happened on the way.
func (p *progress) log(message string) { p.emit(report.Event{Kind: report.Info, Message: message}) }

// sent is how many bytes have left.
func (p *progress) sent() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// tell takes the newest state.
func (p *progress) tell(f images.FeedProgress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.started {
		p.started = true
		p.emit(report.Event{Kind: report.StepStarted, Step: feedStep, Title: feedTitle, Message: "through " + f.Node})
		p.emit(report.Event{Kind: report.StepStarted, Step: spreadStep, Title: spreadTitle})
	}
	p.bytes = f.Sent
	now := p.now()
	for _, peer := range p.closed.Look(f.Swarm.Peers, now) {
		p.emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf("%s cannot reach the node at %s, so it cannot pass images on to it: %s",
			f.Node, peer.Addr, cmp.Or(peer.LastError, "no answer")),
			Hint: "if that node is up, let the nodes reach each other at this TCP port (--peer-port chooses it)"})
	}
	if f.Swarm.AllIn() && !p.allIn {
		p.allIn = true
		p.emit(report.Event{Kind: report.StepDone, Changed: f.Sent > 0, Step: feedStep, Title: feedTitle, Elapsed: now.Sub(p.began),
			Message: report.Size(f.Sent) + " sent"})
		p.emit(report.Event{Kind: report.Info, Message: fmt.Sprintf(
			"everything is in the cluster: you can disconnect now, the nodes finish on their own; %s operation watch %s shows the progress", program.Name, p.operation)})
	}
	if f.Swarm.Everywhere() && !p.everywhere {
		p.everywhere = true
		p.emit(report.Event{Kind: report.StepDone, Changed: true, Step: spreadStep, Title: spreadTitle, Elapsed: now.Sub(p.began),
			Message: "every node has received everything it needs, and unpacks it"})
	}
	if p.allIn || now.Sub(p.told) < feedEvery {
		return
	}
	p.told = now
	p.emit(report.Event{Kind: report.StepProgress, Step: feedStep, Title: feedTitle, Message: p.line(f, now)})
}

// line is how far it is. The mutex is held.
func (p *progress) line(f images.FeedProgress, now time.Time) string {
	p.marks = append(p.marks, mark{now, f.Sent})
	for len(p.marks) > 2 && now.Sub(p.marks[0].at) > feedWindow {
		p.marks = p.marks[1:]
	}
	parts := []string{fmt.Sprintf("%s of %s in the cluster", report.Size(f.Swarm.InSwarm), report.Size(f.Swarm.Wanted)), report.Size(f.Sent) + " sent"}
	first := p.marks[0]
	if rate := float64(f.Sent-first.bytes) / now.Sub(first.at).Seconds(); now.After(first.at) && rate > 0 {
		left := time.Duration(float64(f.Swarm.Wanted-f.Swarm.InSwarm) / rate * float64(time.Second))
		parts = append(parts, report.Size(int64(rate))+"/s", left.Round(time.Second).String()+" left")
	}
	done := 0
	for _, peer := range f.Swarm.Peers {
		if peer.Complete {
			done++
		}
	}
	return strings.Join(append(parts, fmt.Sprintf("%d of %s done", done, report.Plural(len(f.Swarm.Peers), "node", "nodes"))), ", ")
}

// end ends the steps that are not done. Without an error the Operation has
// ended well, whatever was seen of it here.
func (p *progress) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.started {
		return
	}
	for _, s := range []struct {
		done                     bool
		step, title, well, badly string
	}{
		{p.allIn, feedStep, feedTitle, report.Size(p.bytes) + " sent", "ended after " + report.Size(p.bytes)},
		{p.everywhere, spreadStep, spreadTitle, "", "not every node has everything it needs"},
	} {
		if s.done {
			continue
		}
		e := report.Event{Kind: report.StepDone, Step: s.step, Title: s.title, Elapsed: p.now().Sub(p.began), Message: s.well, Changed: p.bytes > 0}
		if err != nil {
			e.Kind, e.Message, e.Error = report.StepFailed, "", s.badly
		}
		p.emit(e)
	}
}
