package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

const (
	// seedInterval is the time between two looks for a node to feed.
	seedInterval = 500 * time.Millisecond
	// againInterval is the pause after a feed that was broken off, and
	// doneInterval after one that was done: only a node that comes back needs another.
	againInterval = time.Second
	doneInterval  = 5 * time.Second
)

// Feeder is the workstation's part in an Images Operation.
type Feeder struct {
	clients *client.Clients
	ops     *operations.Client
	// Direct dials a node's peer instead of executing in its pod through the API
	// server.
	Direct bool
	// MaxRate bounds what is sent, in bytes per second; zero: no bound.
	MaxRate int64
	// Progress is told how far it is, by one goroutine at a time; may be nil.
	Progress func(FeedProgress)
	// Log is told what a person may want to know; may be nil.
	Log func(message string)
}

// FeedProgress is how far a Feeder is.
type FeedProgress struct {
	// Node is the one that is fed.
	Node string
	// Sent is how many bytes of images have left the workstation so far.
	Sent int64
	// Swarm is what the nodes have.
	Swarm swarm.FeedStatus
}

// NewFeeder makes a Feeder with the user's own rights.
func NewFeeder(config *rest.Config) (*Feeder, error) {
	clients, err := client.New(config)
	if err != nil {
		return nil, err
	}
	return &Feeder{clients: clients, ops: operations.New(clients.Dynamic)}, nil
}

// Feed gives an Operation's nodes what none of them has, until the Operation has
// ended. It feeds one node at a time and goes on with the next when that one
// goes away. What may go over is only logged: the Operation's own end tells what
// matters. An error is one that would come at every node: what is to be sent can't
// be read, or the user may not do what feeding takes.
func (f *Feeder) Feed(ctx context.Context, operation string, parcel *swarm.Parcel, source bundle.Upstream) error {
	failures := map[string]int{}
	told := map[string]string{}
	tell := func(about, text string) {
		if told[about] != text {
			told[about] = text
			f.log(text)
		}
	}
	done := false
	var sent int64
	for {
		seed, over, err := f.seed(ctx, operation, failures)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if over {
			return nil
		}
		if err != nil {
			if denied(err) {
				return err
			}
			tell("", fmt.Sprintf("no node to send through was found yet, it is tried again: %v", err))
		}
		if err != nil || seed == nil {
			pause(ctx, seedInterval)
			continue
		}
		now, err := f.feed(ctx, *seed, parcel, source, sent)
		sent += now
		if err == nil {
			done = true
			pause(ctx, doneInterval)
			continue
		}
		if ctx.Err() == nil && (errors.Is(err, swarm.ErrFeedHopeless) || denied(err)) {
			return fmt.Errorf("send the images through %s: %w", seed.node.Name, err)
		}
		failures[seed.pod]++
		// Once the nodes had all, their pods end one by one, which is no news.
		if ctx.Err() == nil && !done {
			tell(seed.pod, fmt.Sprintf("sending through %s was broken off and goes on: %v", seed.node.Name, err))
		}
		pause(ctx, againInterval)
	}
}

// denied says that the user may not do that. That a login is not accepted may pass: it is
// made anew.
func denied(err error) bool { return apierrors.IsForbidden(err) }

func (f *Feeder) log(message string) {
	if f.Log != nil {
		f.Log(message)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// seed is a node that can be fed, by its pod.
type seed struct {
	node      corev1.Node
	pod       string
	operation *v1alpha1.Operation
}

// seed chooses the node to feed; nil when none is there yet. over says that the
// Operation has ended.
func (f *Feeder) seed(ctx context.Context, operation string, failures map[string]int) (_ *seed, over bool, err error) {
	op, err := f.ops.Get(ctx, operation)
	if apierrors.IsNotFound(err) || err == nil && op.Status.Phase.Final() {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	pods, err := f.clients.Kube.CoreV1().Pods(v1alpha1.SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel})
	if err != nil {
		return nil, false, err
	}
	nodes, err := f.clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, false, err
	}
	s := chooseSeed(op, pods.Items, nodes.Items, failures)
	return s, false, nil
}

// chooseSeed prefers a node that failed the least, then a control plane, since
// that is the one that wants most. It is pure.
func chooseSeed(op *v1alpha1.Operation, pods []corev1.Pod, nodes []corev1.Node, failures map[string]int) *seed {
	var best *seed
	rank := func(s *seed) int {
		n := failures[s.pod] * 2
		if !slices.Contains(RolesOf(s.node), v1alpha1.RoleControlPlane) {
			n++
		}
		return n
	}
	for _, step := range op.Status.Steps {
		if kindOf(step.ID) != stepImages || step.State != v1alpha1.StepRunning {
			continue
		}
		pod := slices.IndexFunc(pods, func(p corev1.Pod) bool {
			return p.Labels[batchv1.JobNameLabel] == step.Job && p.DeletionTimestamp == nil && runs(p)
		})
		at := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == step.Node && unfit(n) == "" })
		if pod < 0 || at < 0 {
			continue
		}
		one := &seed{node: nodes[at], pod: pods[pod].Name, operation: op}
		if best == nil || rank(one) < rank(best) {
			best = one
		}
	}
	return best
}

func kindOf(step string) string {
	kind, _, _ := strings.Cut(step, "/")
	return kind
}

func runs(p corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running != nil })
}

// feed feeds one node until the swarm is done or the way there is cut.
func (f *Feeder) feed(ctx context.Context, s seed, parcel *swarm.Parcel, source bundle.Upstream, before int64) (sent int64, err error) {
	rw, err := f.open(ctx, s)
	if err != nil {
		return 0, err
	}
	err = swarm.Feed(ctx, rw, parcel, source, swarm.FeedOptions{MaxRate: f.MaxRate, Progress: func(n int64, status swarm.FeedStatus) {
		sent = n
		if f.Progress != nil {
			f.Progress(FeedProgress{Node: s.node.Name, Sent: before + n, Swarm: status})
		}
	}})
	return sent, rw.because(err)
}

// open makes the byte stream to a node.
func (f *Feeder) open(ctx context.Context, s seed) (*stream, error) {
	if !f.Direct {
		return f.execute(ctx, s.pod)
	}
	credentials, err := Credentials(ctx, f.clients.Kube, s.operation.Name)
	if err != nil {
		return nil, err
	}
	conn, err := swarm.DialFeed(ctx, PeerAddress(s.node, s.operation.Spec.Images), credentials)
	if err != nil {
		return nil, err
	}
	return &stream{ReadWriteCloser: conn}, nil
}

// stream is a way to a node, with what the program at its other end complained of.
type stream struct {
	io.ReadWriteCloser
	mu     sync.Mutex
	stderr bytes.Buffer
}

// maxComplaint bounds what is kept of a complaint, in bytes.
const maxComplaint = 2000

// complain keeps what comes on standard error.
func (s *stream) complain(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room := maxComplaint - s.stderr.Len(); room > 0 {
		s.stderr.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// because adds to a feed's failure what the other end complained of, in one line.
func (s *stream) because(err error) error {
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if text := strings.Join(strings.Fields(s.stderr.String()), " "); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}
