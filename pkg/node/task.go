package node

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Env is what a task gets to work with.
type Env struct {
	// Host is the gate for everything read from or changed on the host.
	Host *host.Host
	// Progress shows one line for people beside the running step.
	Progress func(format string, args ...any)
	// Sink takes any other event, such as a warning.
	Sink report.Sink
}

// Runner runs a task's raw request. Make one with Typed.
type Runner func(ctx context.Context, env Env, spec json.RawMessage) (any, error)

// Task is one thing that can be done on a host.
type Task struct {
	// Name is the stable name used in requests: "etcd".
	Name string
	// ReadOnly tasks take no lock, keep no ledger and run on any host.
	ReadOnly bool
	// Beside tasks may run beside another one: they take a lock of their own, and
	// change nothing that any other task changes.
	Beside bool
	// Run does it. It must be idempotent: done already means no change.
	Run Runner
}

// Typed adapts a function with a typed spec. An unknown field in the spec is
// an error, since it means that the two sides are not the same version.
func Typed[S any](run func(ctx context.Context, env Env, spec S) (any, error)) Runner {
	return func(ctx context.Context, env Env, raw json.RawMessage) (any, error) {
		var spec S
		if err := decodeStrict(raw, &spec); err != nil {
			return nil, fmt.Errorf("the request's spec can't be read: %w", err)
		}
		return run(ctx, env, spec)
	}
}
