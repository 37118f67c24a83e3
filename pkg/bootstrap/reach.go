package bootstrap

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/reach"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

const checkReach = "reach"

// kubeletPort has a listener on every node.
const kubeletPort = 10250

// probe is one port of one host, and the hosts that must reach it.
type probe struct {
	to   v1alpha1.Host
	port int32
	from []v1alpha1.Host
}

// probes are the ports to be tried: those that other hosts must reach and that
// nobody listens on yet. Where the service runs already, it was reached.
func probes(c *v1alpha1.Cluster, o Observation) []probe {
	usable := func(h v1alpha1.Host) bool { seen, ok := o[h.Name]; return ok && seen.Err == nil }
	src, made := source(c, o)
	if made {
		// Few hosts, if any, will need the bundle: it is tried when it is needed.
		src = v1alpha1.Host{}
	}
	var out []probe
	for _, to := range c.Spec.Hosts {
		if !usable(to) || o[to.Name].Facts.Interface == "" {
			continue
		}
		needed := portsOf(c, to)
		if to.Name == src.Name {
			needed = append(needed, port{BlobPort, "kubectl-ha", func(v1alpha1.Host) bool { return true }})
		}
		if isIn(c.Nodes(), to) && o[to.Name].Facts.Listeners[kubeletPort] == "" {
			// Nobody listens there later but while images are pushed, so a host that is
			// a node already is not asked each time.
			needed = append(needed, port{v1alpha1.DefaultPeerPort, "kubectl-ha", func(h v1alpha1.Host) bool { return isIn(c.Nodes(), h) }})
		}
		for _, p := range needed {
			if p.from == nil || o[to.Name].Facts.Listeners[p.number] != "" {
				continue
			}
			x := probe{to: to, port: p.number}
			for _, from := range c.Spec.Hosts {
				if from.Name != to.Name && usable(from) && p.from(from) {
					x.from = append(x.from, from)
				}
			}
			if len(x.from) > 0 {
				out = append(out, x)
			}
		}
	}
	return out
}

// unreached makes the findings: per pair of hosts one, with its ports.
func unreached(failed map[[2]string][]int32, c *v1alpha1.Cluster, why map[[2]string]string) []report.Finding {
	var out []report.Finding
	for _, to := range c.Spec.Hosts {
		for _, from := range c.Spec.Hosts {
			pair := [2]string{from.Name, to.Name}
			ports := slices.Sorted(slices.Values(failed[pair]))
			if at := slices.Index(ports, v1alpha1.DefaultPeerPort); at >= 0 {
				ports = slices.Delete(ports, at, at+1)
				out = append(out, report.Finding{Node: from.Name, Check: checkReach, Severity: report.SeverityWarning,
					Message: fmt.Sprintf("it can't reach %s (%s) on TCP %d: %s", to.Name, to.Address, v1alpha1.DefaultPeerPort, why[pair]),
					Hint:    "open this port between the nodes, or kubectl ha images push sends to each of them instead of letting them hand images on"})
			}
			if len(ports) > 0 {
				out = append(out, report.Finding{Node: from.Name, Check: checkReach, Severity: report.SeverityError,
					Message: fmt.Sprintf("it can't reach %s (%s) on TCP %s: %s", to.Name, to.Address, join(ports), why[pair]),
					Hint:    "open these ports between the hosts in the firewalls of both and on the way (VRRP, IP protocol 112, between the control planes as well)"})
			}
		}
	}
	return out
}

func join(ports []int32) string {
	text := ""
	for i, p := range ports {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(p)
	}
	return text
}

// reachTimeout bounds the whole trial on a host.
const reachTimeout = 30 * time.Second

// Reach tries whether the hosts reach each other on every port that is needed:
// all listen, then all dial. It changes nothing. What can't be tried is a
// warning; the error is the context's.
func Reach(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, o Observation, sink report.Sink) ([]report.Finding, error) {
	all := probes(c, o)
	if len(all) == 0 {
		return nil, ctx.Err()
	}
	token := make([]byte, 16)
	if _, err := rand.Read(token); err != nil {
		return nil, err
	}
	t := &trial{c: c, hosts: hosts, sink: sink, token: hex.EncodeToString(token), failed: map[[2]string][]int32{}, why: map[[2]string]string{}, answered: map[string][]answer{}}
	listenCtx, stop := context.WithCancel(ctx)
	defer stop()
	t.listen(listenCtx, all)
	t.dial(ctx, all)
	stop()
	t.listening.Wait()
	t.resolve(ctx)
	return append(unreached(t.failed, c, t.why), t.warnings...), ctx.Err()
}

// trial is one Reach.
type trial struct {
	c     *v1alpha1.Cluster
	hosts transport.Runner
	sink  report.Sink
	token string

	listening sync.WaitGroup

	mu       sync.Mutex
	failed   map[[2]string][]int32
	why      map[[2]string]string
	warnings []report.Finding
	// answered are the dials to a host that somebody else answered.
	answered map[string][]answer
}

// answer is one of somebody else's.
type answer struct {
	from string
	port int32
}

func (t *trial) warn(host string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.warnings = append(t.warnings, report.Finding{Node: host, Check: checkReach, Severity: report.SeverityWarning,
		Message: fmt.Sprintf("whether the hosts reach each other could not be tried: %v", err), Hint: "run kubectl ha preflight again"})
}

// listen begins to listen on all hosts, and returns once all do.
func (t *trial) listen(ctx context.Context, all []probe) {
	specs := map[string]*reach.ListenSpec{}
	for _, p := range all {
		if specs[p.to.Name] == nil {
			specs[p.to.Name] = &reach.ListenSpec{Address: p.to.Address, Token: t.token, For: reachTimeout}
		}
		specs[p.to.Name].Ports = append(specs[p.to.Name].Ports, p.port)
	}
	var begun sync.WaitGroup
	for name, spec := range specs {
		begun.Add(1)
		ready := sync.OnceFunc(begun.Done)
		t.listening.Go(func() {
			defer ready()
			// Its events are of no interest but for the one.
			_, err := Call(ctx, t.hosts, name, t.request(tasks.Listen, name), *spec, report.SinkFunc(func(e report.Event) {
				if e.Message == reach.Listening {
					ready()
				}
			}))
			if err != nil && ctx.Err() == nil {
				t.warn(name, err)
			}
		})
	}
	begun.Wait()
}

func (t *trial) dial(ctx context.Context, all []probe) {
	specs := map[string]*reach.DialSpec{}
	for _, p := range all {
		for _, from := range p.from {
			if specs[from.Name] == nil {
				specs[from.Name] = &reach.DialSpec{Token: t.token}
			}
			specs[from.Name].Targets = append(specs[from.Name].Targets, reach.Target{Host: p.to.Name, Address: p.to.Address, Port: p.port})
		}
	}
	var dialling sync.WaitGroup
	for name, spec := range specs {
		dialling.Go(func() {
			res, err := Call(ctx, t.hosts, name, t.request(tasks.Dial, name), *spec, report.SinkFunc(func(report.Event) {}))
			var data reach.DialData
			if err == nil {
				err = json.Unmarshal(res.Data, &data)
			}
			if err != nil {
				t.warn(name, err)
			}
			t.note(name, data)
		})
	}
	dialling.Wait()
}

func (t *trial) note(from string, data reach.DialData) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range data.Results {
		if r.Outcome == reach.OK {
			continue
		}
		if r.Outcome == reach.WrongAnswer {
			t.answered[r.Host] = append(t.answered[r.Host], answer{from, r.Port})
			continue
		}
		t.fail(from, r.Host, r.Port, r.Outcome)
	}
}

func (t *trial) fail(from, to string, port int32, why reach.Outcome) {
	pair := [2]string{from, to}
	t.failed[pair] = append(t.failed[pair], port)
	t.why[pair] = string(why)
}

// resolve looks again at hosts where somebody else answered. What has begun to
// listen there since the hosts were observed, as an apiserver that comes back
// after an interrupted run, was reached; on other ports it was not this host
// that answered.
func (t *trial) resolve(ctx context.Context) {
	for _, to := range t.c.Spec.Hosts {
		answers := t.answered[to.Name]
		if len(answers) == 0 {
			continue
		}
		var wanted []int32
		for _, a := range answers {
			wanted = append(wanted, a.port)
		}
		res, err := Call(ctx, t.hosts, to.Name, t.request(tasks.Observe, to.Name), observe.Spec{Address: to.Address, Ports: wanted}, t.sink)
		var seen observe.Facts
		if err == nil {
			seen, err = observe.Decode(res.Data)
		}
		if err != nil {
			t.warn(to.Name, err)
		}
		for _, a := range answers {
			if seen.Listeners[a.port] == "" {
				t.fail(a.from, to.Name, a.port, reach.WrongAnswer)
			}
		}
	}
}

func (t *trial) request(task, host string) node.Request {
	return node.Request{Cluster: t.c.Metadata.Name, Task: task, Step: task + "/" + host, Timeout: reachTimeout}
}
