// Package transport is how a task gets to a host and its events back. Its two
// folders are the two ways: ssh during the bootstrap, job afterwards.
package transport

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Runner runs one request on one host and waits for its result. Events go to
// the sink as they come, with the host's name filled in. The error is about the
// transport (connection lost, Job never started); how the task itself ended is in
// the Result.
type Runner interface {
	Run(ctx context.Context, host string, req node.Request, sink report.Sink) (node.Result, error)
}
