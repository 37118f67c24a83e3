package etcd

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// defragRate is the least that a disk must rewrite a database at, in bytes per second;
	// defragLeast is what a small one may take.
	defragRate  = 10 << 20
	defragLeast = 30 * time.Second
	// defragWait bounds the wait for the cluster between two members.
	defragWait = 2 * time.Minute
	// moveTimeout bounds a leadership's move.
	moveTimeout = 30 * time.Second
)

// Defragged is what was done to one member.
type Defragged struct {
	Endpoint string `json:"endpoint"`
	// Before and After are the sizes of its file.
	Before int64 `json:"before"`
	After  int64 `json:"after"`
	// Skipped says why nothing was done.
	Skipped string `json:"skipped,omitempty"`
}

// Turn is a member's in an order.
type Turn struct {
	Endpoint string
	// Leader is who led when the order was made.
	Leader bool
	// Skip says why nothing is to be done.
	Skip string
}

// Order is the order in which members are taken away for a while, one by one: followers in the
// order in which they were asked, then who leads. It is pure.
func Order(v View) []Turn {
	var out, last []Turn
	for _, s := range v.Status {
		t := Turn{Endpoint: s.Endpoint, Leader: s.Err == nil && s.ID != 0 && s.ID == s.Leader}
		if t.Leader {
			last = append(last, t)
		} else {
			out = append(out, t)
		}
	}
	return append(out, last...)
}

// PlanDefrag is who is defragmented, in which order: those of whose file at least a share (0 to
// 1) would be freed. It is pure.
func PlanDefrag(v View, threshold float64) []Turn {
	out := Order(v)
	for i := range out {
		s := v.Status[slices.IndexFunc(v.Status, func(s MemberStatus) bool { return s.Endpoint == out[i].Endpoint })]
		free := s.report(0)
		if free.FreeShare() < threshold || free.FreeBytes == 0 {
			out[i].Skip = fmt.Sprintf("%s of %s would be freed, less than %.0f%%", report.Size(free.FreeBytes), report.Size(free.DBBytes), 100*threshold)
		}
	}
	return out
}

// DefragAll defragments the members one by one, followers first; before its turn a leader hands
// over. A member serves nobody while it rewrites its file, so that between two all have to be
// there again. Alarms do not stop it: it is what one does about NOSPACE. tell takes a line for
// people. It can be run again: who has nothing to free any more is left out.
func (c *Client) DefragAll(ctx context.Context, threshold float64, tell func(format string, args ...any)) ([]Defragged, error) {
	seen := func(wrong error) { tell("waiting for etcd: %v", wrong) }
	v, err := c.wait(ctx, defragWait, "well", Serving, seen)
	if err != nil {
		return nil, fmt.Errorf("nobody is defragmented: %w", err)
	}
	var out []Defragged
	var done []string
	for _, t := range PlanDefrag(v, threshold) {
		if t.Skip != "" {
			out = append(out, Defragged{Endpoint: t.Endpoint, Skipped: t.Skip})
			continue
		}
		one, err := c.defragOne(ctx, t.Endpoint, done, tell, seen)
		out = append(out, one)
		if err != nil {
			return out, err
		}
		done = append(done, t.Endpoint)
	}
	return out, nil
}

func (c *Client) defragOne(ctx context.Context, endpoint string, done []string, tell func(string, ...any), seen func(error)) (Defragged, error) {
	out := Defragged{Endpoint: endpoint}
	if _, err := c.wait(ctx, defragWait, "well", Serving, seen); err != nil {
		return out, fmt.Errorf("%s is not defragmented: %w", endpoint, err)
	}
	// Whoever leads by now: one that was defragmented takes over, if there is one.
	if _, err := c.MoveLeader(ctx, endpoint, done, moveTimeout, seen); err != nil {
		return out, err
	}
	before := c.sizeOf(ctx, endpoint)
	out.Before = before
	tell("defragmenting %s, %s", endpoint, report.Size(before))
	one, cancel := context.WithTimeout(ctx, defragLeast+time.Duration(before/defragRate)*time.Second)
	defer cancel()
	if err := c.Defragment(one, endpoint); err != nil {
		return out, err
	}
	if _, err := c.wait(ctx, defragWait, "well again", Serving, seen); err != nil {
		return out, fmt.Errorf("after %s was defragmented: %w", endpoint, err)
	}
	out.After = c.sizeOf(ctx, endpoint)
	return out, nil
}

func (c *Client) sizeOf(ctx context.Context, endpoint string) int64 {
	for _, s := range c.Status(ctx) {
		if s.Endpoint == endpoint {
			return s.DBBytes
		}
	}
	return 0
}
