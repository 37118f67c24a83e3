package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// JobOptions say how an agent runs in a Job's pod.
type JobOptions struct {
	Tasks map[string]Task
	// RequestPath is the file with the Request.
	RequestPath string
	// TerminationLog, when set, gets the Result, cut to MaxTerminationMessage.
	TerminationLog string
	// EnterHost leaves the pod for the host's namespaces first. The pod must be
	// privileged and have hostPID.
	EnterHost bool
	// Stdout gets the Messages.
	Stdout io.Writer
}

// RunJobAgent runs the request in a file, as RunAgent runs one from standard
// input. There is no client whose loss ends it: a Job's deadline does.
//
// With EnterHost it does not return when all goes well: the process becomes,
// in the host's namespaces, `agent run --request PATH --termination-log PATH`,
// where both paths are of file descriptors that it has inherited.
func RunJobAgent(ctx context.Context, opts JobOptions) error {
	request, err := os.ReadFile(opts.RequestPath)
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	if opts.EnterHost {
		refuse := func(err error) error {
			r := failed(err)
			return errors.Join(writeTermination(opts.TerminationLog, r), (&messages{to: opts.Stdout}).result(r))
		}
		// Before it is on the host, and once: the same file runs there.
		if request, err = checkedRequest(request, ""); err != nil {
			return refuse(err)
		}
		if err := reexecOnHost(request, opts.TerminationLog); err != nil {
			return refuse(fmt.Errorf("enter the host's namespaces: %w", err))
		}
	}
	defer survivePipes()()
	out := &messages{to: opts.Stdout}
	a := Agent{Tasks: opts.Tasks}
	r := a.Run(ctx, request, nil, out)
	return errors.Join(writeTermination(opts.TerminationLog, r), out.result(r))
}

func writeTermination(path string, r Result) error {
	if path == "" {
		return nil
	}
	if err := os.WriteFile(path, Compact(r, MaxTerminationMessage), 0o600); err != nil {
		return fmt.Errorf("write the termination message: %w", err)
	}
	return nil
}
