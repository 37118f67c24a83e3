package bootstrap

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Observation is what was seen of the hosts, by their names in the Cluster file.
type Observation map[string]HostObservation

// HostObservation is what was seen of one host.
type HostObservation struct {
	// Facts, when Err is nil.
	Facts observe.Facts
	// Clock is how far the host's clock is ahead of the workstation's.
	Clock Offset
	// Err says why the host could not be looked at.
	Err error
}

// Offset is a clock's distance from the workstation's, known to lie between
// two bounds.
type Offset struct{ Least, Most time.Duration }

// Estimate is the middle of the bounds.
func (o Offset) Estimate() time.Duration { return o.Least + (o.Most-o.Least)/2 }

// readier is a transport that can be made ready for a host, so that what that
// takes is not mistaken for the clock's error.
type readier interface {
	Ready(ctx context.Context, host string) error
}

// Observe looks at all hosts in parallel, or at some of them when these are named.
// What goes wrong with a host is in its HostObservation; the error is only the
// context's.
func Observe(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, sink report.Sink, only ...string) (Observation, error) {
	list := c.Spec.Hosts
	if len(only) > 0 {
		list = slices.DeleteFunc(slices.Clone(list), func(h v1alpha1.Host) bool { return !slices.Contains(only, h.Name) })
	}
	return AtOnce(list, func(h v1alpha1.Host) HostObservation { return observeHost(ctx, hosts, c, h, sink) }), ctx.Err()
}

// AtOnce looks at all hosts in parallel, and returns what was seen by their names.
func AtOnce[T any](hosts []v1alpha1.Host, look func(v1alpha1.Host) T) map[string]T {
	out := map[string]T{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, h := range hosts {
		all.Go(func() {
			seen := look(h)
			mu.Lock()
			defer mu.Unlock()
			out[h.Name] = seen
		})
	}
	all.Wait()
	return out
}

func observeHost(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, h v1alpha1.Host, sink report.Sink) HostObservation {
	var out HostObservation
	if r, ok := hosts.(readier); ok {
		if out.Err = r.Ready(ctx, h.Name); out.Err != nil {
			return out
		}
	}
	spec := observe.Spec{Address: h.Address, Ports: ports(c, h), DataDir: c.Spec.Etcd.DataDir, APIServerPort: c.Spec.APIServerPort,
		Programs: programDirs(c, h)}
	if h.Has(v1alpha1.RoleControlPlane) {
		spec.VirtualIP = c.Spec.VirtualIP
		// Another cluster with our router id would fight for both addresses.
		spec.ListenVRRP = true
		for _, o := range c.ControlPlanes() {
			spec.Peers = append(spec.Peers, o.Address)
		}
	}
	clock := newClock(time.Now())
	res, err := Call(ctx, hosts, h.Name, node.Request{Cluster: c.Metadata.Name, Task: tasks.Observe, Step: "observe/" + h.Name,
		Timeout: time.Minute}, spec, report.SinkFunc(func(e report.Event) {
		clock.saw(e.Time, time.Now())
		sink.Emit(e)
	}))
	if err == nil {
		out.Facts, err = observe.Decode(res.Data)
	}
	if err != nil {
		out.Err = err
		return out
	}
	clock.saw(out.Facts.Time, time.Now())
	out.Clock = clock.offset()
	return out
}

// clock narrows down a host's offset. Whatever time the host tells, it told
// after it was asked, and before its answer arrived.
type clock struct {
	mu    sync.Mutex
	asked time.Time
	any   bool
	found Offset
}

func newClock(asked time.Time) *clock { return &clock{asked: asked} }

func (c *clock) saw(told, arrived time.Time) {
	if told.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Without the monotonic reading, which only one of the two has.
	least, most := told.Sub(arrived.Round(0)), told.Sub(c.asked.Round(0))
	if !c.any || least > c.found.Least {
		c.found.Least = least
	}
	if !c.any || most < c.found.Most {
		c.found.Most = most
	}
	c.any = true
}

func (c *clock) offset() Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found
}

// Call runs one request with a typed spec; a task that failed is a *TaskError.
func Call(ctx context.Context, hosts transport.Runner, host string, req node.Request, spec any, sink report.Sink) (node.Result, error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return node.Result{}, fmt.Errorf("%s: encode the spec of %s: %w", host, req.Task, err)
	}
	req.Spec = raw
	res, err := hosts.Run(ctx, host, req, sink)
	if err != nil {
		return res, err
	}
	if res.Failure != nil {
		return res, &TaskError{Host: host, Task: req.Task, Failure: *res.Failure}
	}
	return res, nil
}

// TaskError is a task that ran on a host and failed.
type TaskError struct {
	Host, Task string
	Failure    node.Failure
}

// Error is the host and the short message.
func (e *TaskError) Error() string { return e.Host + ": " + e.Failure.Message }

// Explain gives the failed command's output, and what to do next.
func (e *TaskError) Explain() (detail, hint string) { return e.Failure.Output, e.Failure.Hint }
