package images

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/images"
)

// execute runs `agent feed` in a node's pod, and makes a stream of its standard
// input and output.
func (f *Feeder) execute(ctx context.Context, pod string) (*stream, error) {
	executor, err := f.clients.Executor(v1alpha1.SystemNamespace, pod, &corev1.PodExecOptions{
		// The task has left the container for the host, and with it whoever is
		// executed there: hence the link.
		Command: []string{images.AgentLink, "agent", "feed", "--socket", images.FeedSocket},
		Stdin:   true, Stdout: true, Stderr: true,
	})
	if err != nil {
		return nil, fmt.Errorf("execute in pod %s: %w", pod, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stdin, input := io.Pipe()
	output, stdout := io.Pipe()
	s := &stream{ReadWriteCloser: &piped{Reader: output, Writer: input, close: func() {
		cancel()
		// Each end gets its error by reading or writing.
		_, _ = input.Close(), output.Close()
	}}}
	go func() {
		defer cancel()
		err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout, Stderr: writer(s.complain)})
		if err == nil {
			err = io.EOF
		}
		_, _ = stdin.CloseWithError(err), stdout.CloseWithError(err)
	}()
	return s, nil
}

// piped is two pipes as one stream.
type piped struct {
	io.Reader
	io.Writer
	close func()
}

// Close ends both.
func (p *piped) Close() error {
	p.close()
	return nil
}

// writer makes a Writer of a function.
type writer func([]byte) (int, error)

// Write calls it.
func (w writer) Write(p []byte) (int, error) { return w(p) }
