package engine_test

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// fakeNodes stand for the Jobs of a cluster: a Job runs once, whoever asks for
// its name again gets its result, and it goes on without its coordinator. A
// task that no test expected fails.
type fakeNodes struct {
	mu   sync.Mutex
	jobs map[string]*fakeJob
	// tasks is what a step does, by its ID; the attempt counts from 1.
	tasks map[string]func(attempt int) (node.Result, error)
	runs  map[string]int
}

type fakeJob struct {
	done   chan struct{}
	result node.Result
	err    error
}

func newFakeNodes(tasks map[string]func(int) (node.Result, error)) *fakeNodes {
	return &fakeNodes{jobs: map[string]*fakeJob{}, tasks: tasks, runs: map[string]int{}}
}

func (f *fakeNodes) runner(j engine.Job) transport.Runner { return &fakeRunner{nodes: f, job: j} }

// count says how often each step's task was begun.
func (f *fakeNodes) count() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.runs)
}

type fakeRunner struct {
	nodes *fakeNodes
	job   engine.Job
	// before, when set, is called before the Job is created; after, before its
	// result is given back.
	before, after func(ctx context.Context) error
}

func (r *fakeRunner) Run(ctx context.Context, _ string, req node.Request, _ report.Sink) (node.Result, error) {
	if r.before != nil {
		if err := r.before(ctx); err != nil {
			return node.Result{}, err
		}
	}
	j := r.nodes.start(r.job.Name, req)
	select {
	case <-j.done:
	case <-ctx.Done():
		return node.Result{}, ctx.Err()
	}
	if r.after != nil {
		if err := r.after(ctx); err != nil {
			return node.Result{}, err
		}
	}
	return j.result, j.err
}

func (f *fakeNodes) start(name string, req node.Request) *fakeJob {
	f.mu.Lock()
	defer f.mu.Unlock()
	if j, ok := f.jobs[name]; ok {
		return j
	}
	j := &fakeJob{done: make(chan struct{})}
	f.jobs[name] = j
	f.runs[req.Step]++
	attempt, task := f.runs[req.Step], f.tasks[req.Step]
	go func() {
		defer close(j.done)
		if task == nil {
			j.err = fmt.Errorf("nobody expected the step %s", req.Step)
			return
		}
		j.result, j.err = task(attempt)
	}()
	return j
}

// well is a task that changes one file.
func well(int) (node.Result, error) {
	return node.Result{Changes: make([]host.Change, 1)}, nil
}

// badly is a task that fails.
func badly(int) (node.Result, error) {
	return node.Result{Failure: &node.Failure{Message: "kubeadm failed", Hint: "look at the disk", Output: "no space left"}}, nil
}

// lost is the error of an attempt that went away with its node.
type lost struct{}

func (lost) Error() string { return "the node went away" }
func (lost) Lost() bool    { return true }
