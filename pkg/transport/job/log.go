package job

import (
	"bufio"
	"context"
	"encoding/json"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// maxLine bounds one message of the agent, in bytes.
const maxLine = 4 << 20

// log follows the agent's messages in a pod's log, as far as it can be reached:
// the node's kubelet may not answer, and then there is only the termination
// message.
type log struct {
	kube kubernetes.Interface
	host string
	sink report.Sink

	cancel context.CancelFunc
	// closed is closed when the log has been read to its end, or given up.
	closed chan struct{}

	mu   sync.Mutex
	last *node.Result
}

func newLog(kube kubernetes.Interface, host string, sink report.Sink) *log {
	return &log{kube: kube, host: host, sink: sink}
}

// follow begins to read, once; later calls do nothing.
func (l *log) follow(ctx context.Context, pod string) {
	if l.closed != nil {
		return
	}
	ctx, l.cancel = context.WithCancel(ctx)
	l.closed = make(chan struct{})
	go func() {
		defer close(l.closed)
		lines := 0
		// A connection that breaks is made again and the lines that were seen are
		// passed over.
		for ctx.Err() == nil {
			n, whole := l.read(ctx, pod, lines)
			lines = max(lines, n)
			if whole {
				return
			}
			pause(ctx, retryInterval)
		}
	}()
}

// read reads from the log's beginning and passes over the first lines. It
// returns how many lines there were, and whether the agent's last was one.
func (l *log) read(ctx context.Context, pod string, skip int) (lines int, whole bool) {
	stream, err := l.kube.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		return 0, false
	}
	defer func() { _ = stream.Close() }() // Nothing is lost with what is only read.
	s := bufio.NewScanner(stream)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		lines++
		if lines <= skip {
			continue
		}
		if l.message(s.Bytes()) {
			return lines, true
		}
	}
	return lines, false
}

// message takes one line and tells whether it was the result.
func (l *log) message(line []byte) bool {
	var m node.Message
	if err := json.Unmarshal(line, &m); err != nil {
		return false // Not the agent's: the runtime's own complaint, for instance.
	}
	if m.Event != nil {
		e := *m.Event
		e.Host = l.host
		l.sink.Emit(e)
	}
	if m.Result == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = m.Result
	return true
}

// result is the agent's last message, nil when it could not be had in time.
func (l *log) result(ctx context.Context, grace time.Duration) *node.Result {
	if l.closed != nil {
		select {
		case <-l.closed:
		case <-ctx.Done():
		case <-time.After(grace):
		}
	}
	return l.whole()
}

// end is closed when the log has been read to its end; nil, which is never closed,
// before it is followed.
func (l *log) end() <-chan struct{} { return l.closed }

// whole is the agent's last message once it was read, else nil.
func (l *log) whole() *node.Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *log) stop() {
	if l.cancel != nil {
		l.cancel()
		<-l.closed
	}
}
