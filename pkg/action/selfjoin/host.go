package selfjoin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// localHost is this very host, as bootstrap.Hosts.
type localHost struct {
	name, program string
	tasks         map[string]node.Task
}

// newLocalHost is this host with the running program, which installs itself as on every host.
func newLocalHost(name string, tasks map[string]node.Task) (*localHost, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the running program: %w", err)
	}
	return &localHost{name: name, program: self, tasks: tasks}, nil
}

// Run runs a task in this process.
func (l *localHost) Run(ctx context.Context, host string, req node.Request, sink report.Sink) (node.Result, error) {
	if host != l.name {
		return node.Result{}, fmt.Errorf("this is %s, not %s", l.name, host)
	}
	raw, err := json.Marshal(req)
	if err != nil {
		return node.Result{}, err
	}
	a := node.Agent{Tasks: l.tasks}
	return a.Run(ctx, raw, nil, report.SinkFunc(func(e report.Event) {
		e.Host = host
		sink.Emit(e)
	})), nil
}

// Pipe runs the agent as a process of its own.
func (l *localHost) Pipe(ctx context.Context, _ string, args []string) (io.WriteCloser, io.Reader, func() error, error) {
	cmd := exec.CommandContext(ctx, l.program, args...)
	cmd.Stderr = io.Discard
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, nil, err
	}
	return stdin, stdout, cmd.Wait, nil
}

// DialContext dials from here.
func (l *localHost) DialContext(string) func(context.Context, string, string) (net.Conn, error) {
	return new(net.Dialer).DialContext
}
