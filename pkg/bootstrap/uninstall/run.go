package uninstall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Hosts is what an uninstall needs of its transport; ssh.Hosts is one.
type Hosts interface {
	transport.Runner
	// DialContext returns a dialler of addresses as seen from the host.
	DialContext(host string) func(ctx context.Context, network, address string) (net.Conn, error)
}

// Config is one uninstall.
type Config struct {
	// Cluster has its defaults set and is valid.
	Cluster *v1alpha1.Cluster
	Hosts   Hosts
	// Failed are the hosts to which there is no connection, and why.
	Failed map[string]error
	// StateDir is this cluster's directory on the workstation.
	StateDir string
	// SnapshotFile is where the last snapshot of etcd goes; it must not be there.
	SnapshotFile string
	// NoSnapshot goes on without one.
	NoSnapshot bool
	// Unidentified takes hosts of which only the name tells that they are the cluster's.
	Unidentified bool
	// Forget removes StateDir, with the etcd CA's key, when no host is left.
	Forget bool
	// DryRun changes nothing, and lists every change of every host in the result.
	DryRun bool
	// Confirm, when set, is asked with a plan that has something to do; an error ends it.
	Confirm func(ctx context.Context, p plan.Plan) error
}

// State is what became of a host.
type State string

// The states.
const (
	// Done: everything was taken back.
	Done State = "done"
	// Bare: there was nothing to be taken back.
	Bare State = "bare"
	// Unreachable: it is left for later.
	Unreachable State = "unreachable"
	// Failed: not everything could be taken back.
	Failed State = "failed"
	// Pending: nothing was begun, as in a dry run.
	Pending State = "pending"
)

// HostResult is what became of one host.
type HostResult struct {
	Host  string `json:"host"`
	State State  `json:"state"`
	Error string `json:"error,omitempty"`
	// Left is what stays on it, since it is not ours.
	Left []string `json:"left,omitempty"`
	// Changes are all that was done, or in a dry run would be.
	Changes []host.Change `json:"changes,omitempty"`
}

// Result is what an uninstall did.
type Result struct {
	Plan plan.Plan
	// Hosts in the order of the Cluster file.
	Hosts []HostResult
	// Snapshot is the last one of etcd, of this run or the one before; nil for none.
	Snapshot *Snapshot
	// Forgotten tells that the workstation's state directory is gone.
	Forgotten bool
}

// Left are the hosts that are not free of the cluster.
func (r Result) Left() []HostResult {
	return slices.DeleteFunc(slices.Clone(r.Hosts), func(h HostResult) bool { return h.State == Done || h.State == Bare })
}

// executor carries out one plan.
type executor struct {
	cfg  Config
	sink report.Sink
	seen map[string]Seen
	// identity is the fingerprint of the etcd CA on this machine, empty for none.
	identity string
	// before is what an earlier run kept.
	before record

	mu       sync.Mutex
	results  map[string]HostResult
	snapshot *Snapshot
}

// Run takes the cluster off its hosts. Hosts that can't be reached are no error:
// they are in the result, and left for the next run.
func Run(ctx context.Context, cfg Config, sink report.Sink) (r Result, err error) {
	if !cfg.DryRun {
		unlock, err := bootstrap.Lock(cfg.StateDir)
		if err != nil {
			return r, err
		}
		defer unlock()
	}
	seen, err := Observe(ctx, cfg.Hosts, cfg.Cluster, cfg.Failed, sink)
	if err != nil {
		return r, err
	}
	before, err := readRecord(cfg.StateDir, seen)
	if err != nil {
		return r, err
	}
	local, err := bootstrap.LocalInputs(ctx, cfg.StateDir, cfg.Cluster)
	if err != nil {
		return r, err
	}
	in := Inputs{NoSnapshot: cfg.NoSnapshot, Done: before.Done, Identity: local.Identity, EtcdCAs: local.EtcdCAs, Unidentified: cfg.Unidentified}
	if !before.Unfinished {
		in.Taken = before.Snapshot
	}
	if r.Plan, err = MakePlan(cfg.Cluster, seen, in); err != nil {
		return r, err
	}
	e := &executor{cfg: cfg, sink: sink, seen: seen, identity: in.Identity, before: before, results: map[string]HostResult{}}
	pending := r.Plan.Pending()
	if len(pending) > 0 && cfg.Confirm != nil && !cfg.DryRun {
		if err := cfg.Confirm(ctx, r.Plan); err != nil {
			return r, err
		}
	}
	if before.Snapshot != "" {
		e.snapshot = &Snapshot{File: before.Snapshot}
	}
	err = plan.Run(ctx, e.titled(r.Plan), plan.Options{Exec: e.run}, sink)
	r.Hosts, r.Snapshot = e.hosts(r.Plan), e.snapshot
	if cfg.DryRun {
		return r, err
	}
	return r, errors.Join(err, e.keep(&r))
}

// titled is the plan to be carried out. In a dry run its steps are called what
// they are.
func (e *executor) titled(p plan.Plan) plan.Plan {
	if !e.cfg.DryRun {
		return p
	}
	out := plan.Plan{Steps: slices.Clone(p.Steps)}
	for i := range out.Steps {
		out.Steps[i].Title = "only look: " + out.Steps[i].Title
	}
	return out
}

// keep writes down what the next run must know, or forgets everything.
func (e *executor) keep(r *Result) error {
	var done []string
	begun := e.before.Snapshot != "" && !e.before.Unfinished
	for _, h := range r.Hosts {
		if h.State == Done || h.State == Bare {
			done = append(done, h.Host)
		}
		begun = begun || h.State == Done
	}
	now := record{Done: done}
	if r.Snapshot != nil {
		// As long as no host is done the cluster may go on, and its snapshot grow old. One
		// with nothing on it says nothing of that: it may never have been in the cluster.
		now.Snapshot, now.Unfinished = r.Snapshot.File, !begun
	}
	if err := now.write(e.cfg.StateDir, e.cfg.Cluster); err != nil {
		return fmt.Errorf("keep on this machine what was done: %w", err)
	}
	if !e.cfg.Forget || len(r.Left()) > 0 {
		return nil
	}
	// That of an earlier run, which was not told to forget.
	if r.Snapshot != nil && Within(e.cfg.StateDir, r.Snapshot.File) {
		return fmt.Errorf("the cluster is not forgotten: its last snapshot, %s, is in the directory that would be removed; move it elsewhere, and run the command again", r.Snapshot.File)
	}
	if err := os.RemoveAll(e.cfg.StateDir); err != nil {
		return fmt.Errorf("forget the cluster on this machine: %w", err)
	}
	r.Forgotten = true
	return nil
}

// Within tells whether a file is below a directory, and so goes with it.
func Within(dir, file string) bool {
	rel, err := filepath.Rel(dir, file)
	return err == nil && filepath.IsLocal(rel)
}

// hosts are the results of all hosts.
func (e *executor) hosts(p plan.Plan) []HostResult {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []HostResult
	for _, s := range p.Steps {
		if s.Host == "" {
			continue
		}
		h, ok := e.results[s.Host]
		if !ok {
			h = HostResult{Host: s.Host, State: Pending}
		}
		switch s.Skip {
		case skipBare:
			h.State = Bare
		case skipDone:
			h.State = Done
		case skipUnreachable:
			h.State, h.Error = Unreachable, e.seen[s.Host].Err.Error()
		}
		out = append(out, h)
	}
	return out
}

// run is plan.Options.Exec.
func (e *executor) run(ctx context.Context, s plan.Step) (plan.Outcome, error) {
	if spec, ok := s.Spec.(snapshotSpec); ok {
		return e.takeSnapshot(ctx, spec)
	}
	return e.uninstall(ctx, s)
}

func (e *executor) takeSnapshot(ctx context.Context, spec snapshotSpec) (plan.Outcome, error) {
	if e.cfg.DryRun {
		return plan.Outcome{Message: "would go to " + e.cfg.SnapshotFile}, nil
	}
	s, err := takeSnapshot(ctx, e.cfg.Hosts, e.cfg.Cluster, spec.Hosts, e.cfg.SnapshotFile, e.sink)
	if err != nil && e.before.Unfinished && ctx.Err() == nil {
		// That run was cut off when it had begun with the hosts.
		return plan.Outcome{Message: fmt.Sprintf("an earlier run took it: %s (%v)", e.before.Snapshot, err)}, nil
	}
	if err != nil {
		return plan.Outcome{}, err
	}
	e.mu.Lock()
	e.snapshot = &s
	e.mu.Unlock()
	// Before any host is touched: who goes on after this run was killed can't take one any more.
	if err := (record{Snapshot: s.File, Done: e.before.Done, Unfinished: true}).write(e.cfg.StateDir, e.cfg.Cluster); err != nil {
		return plan.Outcome{}, fmt.Errorf("keep on this machine which snapshot was taken: %w", err)
	}
	return plan.Outcome{Changed: true, Message: fmt.Sprintf("%s, %s", s.File, report.Size(s.Bytes))}, nil
}

func (e *executor) uninstall(ctx context.Context, s plan.Step) (plan.Outcome, error) {
	res, err := bootstrap.Call(ctx, e.cfg.Hosts, s.Host, node.Request{Cluster: e.cfg.Cluster.Metadata.Name, Identity: e.identity, Task: tasks.Uninstall, Step: s.ID,
		DryRun: e.cfg.DryRun, Timeout: uninstall.Timeout, LockTimeout: lockWait}, s.Spec, e.sink)
	result := HostResult{Host: s.Host, State: Done, Changes: res.Changes}
	var data uninstall.Data
	if len(res.Data) > 0 {
		// What could not be read only makes the report shorter.
		_ = json.Unmarshal(res.Data, &data)
	}
	result.Left = data.Left
	switch {
	case err != nil:
		result.State, result.Error = Failed, err.Error()
	case e.cfg.DryRun:
		result.State = Pending
	}
	e.mu.Lock()
	e.results[s.Host] = result
	e.mu.Unlock()
	return plan.Outcome{Changed: len(res.Changes) > 0 && !e.cfg.DryRun, Message: e.summary(data, len(res.Changes))}, err
}

// summary is one line of what was done on a host.
func (e *executor) summary(d uninstall.Data, changes int) string {
	if e.cfg.DryRun {
		return fmt.Sprintf("%d changes", changes)
	}
	var did []string
	for _, x := range []struct {
		n    int
		what string
	}{{d.Pods, "pods"}, {d.Mounts, "mounts"}, {d.Files, "files and directories"}} {
		if x.n > 0 {
			did = append(did, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	return strings.Join(did, ", ")
}
