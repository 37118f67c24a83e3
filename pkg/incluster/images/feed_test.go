package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
)

// feedWithin bounds every wait of these tests.
const feedWithin = time.Minute

// feedWorld is an API server with one Operation, and a peer for each of its nodes,
// all on this machine.
type feedWorld struct {
	*testing.T
	store  *bundle.Store
	parcel *swarm.Parcel
	blob   bundle.Blob
	peers  []*swarm.Peer
	feeder *Feeder

	mu     sync.Mutex
	denied bool
	op     v1alpha1.Operation
	nodes  corev1.NodeList
	pods   corev1.PodList
	secret corev1.Secret
	logs   []string
}

func newFeedWorld(t *testing.T, nodes int) *feedWorld {
	t.Helper()
	w := &feedWorld{T: t, store: bundle.OpenStore(t.TempDir())}
	image := bundle.Image{Ref: "example.com/app:1"}
	for n, size := range []int{300, 400, 3 << 20} {
		data := strings.Repeat(strconv.Itoa(n), size)
		b := bundle.Blob{Digest: digest.FromString(data), Size: int64(size)}
		w.check(w.store.Put(t.Context(), b, strings.NewReader(data)))
		image.Blobs = append(image.Blobs, b)
	}
	image.Manifest = image.Blobs[0]
	var err error
	w.parcel, err = swarm.NewParcelWith(t.Context(), nil, []bundle.Image{image}, w.store)
	w.check(err)
	w.blob = w.parcel.Blobs[2].Blob
	w.objects(nodes)
	server := httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(server.Close)
	w.feeder, err = NewFeeder(&rest.Config{Host: server.URL})
	w.check(err)
	w.feeder.Direct = true
	w.feeder.Log = func(m string) {
		t.Log("workstation:", m)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.logs = append(w.logs, m)
	}
	return w
}

func (w *feedWorld) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// objects makes what the API server has, and the peers: each at an address of its
// own, all at one port.
func (w *feedWorld) objects(count int) {
	w.Helper()
	first, err := net.Listen("tcp", "127.0.0.1:0")
	w.check(err)
	_, text, err := net.SplitHostPort(first.Addr().String())
	w.check(err)
	port, err := strconv.Atoi(text)
	w.check(err)
	w.op.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.OperationKind}
	w.op.Name, w.op.Status.Phase = "op", v1alpha1.OperationRunning
	w.op.Spec = v1alpha1.OperationSpec{Type: v1alpha1.OperationImages, Images: &v1alpha1.ImagesSpec{Port: int32(port)}}
	var hosts, addrs []string
	for i := range count {
		hosts = append(hosts, fmt.Sprintf("127.0.0.%d", i+1))
		addrs = append(addrs, net.JoinHostPort(hosts[i], text))
	}
	credentials, err := bundle.NewPeers(hosts)
	w.check(err)
	w.secret = corev1.Secret{Data: map[string][]byte{keyCA: credentials.CA, keyCert: credentials.Cert, keyKey: credentials.Key}}
	_, identity := w.parcel.Encode()
	for i := range count {
		name := fmt.Sprintf("n%d", i)
		node := testNode(name, i == 0)
		node.Status.Addresses[0].Address = hosts[i]
		w.nodes.Items = append(w.nodes.Items, node)
		pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod-" + name, Labels: map[string]string{batchv1.JobNameLabel: "job-" + name}}}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
		w.pods.Items = append(w.pods.Items, pod)
		w.op.Status.Steps = append(w.op.Status.Steps, v1alpha1.StepStatus{ID: "images/" + name, Node: name, State: v1alpha1.StepRunning, Job: "job-" + name})
		listener := first
		if i > 0 {
			if listener, err = net.Listen("tcp", addrs[i]); err != nil {
				w.Skipf("a second address of the loopback: %v", err)
			}
		}
		peer, err := swarm.NewPeer(swarm.Config{Listener: listener, Self: addrs[i], Peers: addrs, Credentials: credentials,
			Parcel: identity, Dir: w.TempDir(), Log: func(m string) { w.Log(name, m) }})
		w.check(err)
		w.peers = append(w.peers, peer)
		ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
		ended := make(chan error, 1)
		go func() { ended <- peer.Run(ctx) }()
		w.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				w.Error(err)
			}
		})
	}
}

// serve is the API server. What nobody expected it refuses.
func (w *feedWorld) serve(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var object any
	switch path := r.URL.Path; {
	case r.Method != http.MethodGet:
	case strings.HasSuffix(path, "/"+v1alpha1.OperationResource+"/op"):
		object = w.op
	case strings.HasSuffix(path, "/pods") && w.denied:
		object = metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure",
			Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden, Message: "pods is forbidden"}
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(http.StatusForbidden)
	case strings.HasSuffix(path, "/pods"):
		object = w.pods
	case path == "/api/v1/nodes":
		object = w.nodes
	case strings.HasSuffix(path, "/secrets/op-peers"):
		object = w.secret
	}
	if object == nil {
		w.Errorf("the API server was asked %s %s", r.Method, r.URL.Path)
		http.Error(out, "unexpected", http.StatusTeapot)
		return
	}
	out.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(out).Encode(object); err != nil {
		w.Errorf("answer: %v", err)
	}
}

// feed begins to feed; the channel gets what Feed returned.
func (w *feedWorld) feed(source bundle.Upstream) <-chan error {
	out := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	ended := make(chan struct{})
	go func() {
		out <- w.feeder.Feed(ctx, "op", w.parcel, source)
		close(ended)
	}()
	w.Cleanup(func() { cancel(); <-ended })
	return out
}

func (w *feedWorld) await(result <-chan error) error {
	w.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(feedWithin):
		w.Fatal("the feed did not end")
		return nil
	}
}

// read gets the blob from a peer.
func (w *feedWorld) read(peer *swarm.Peer) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), feedWithin)
	defer cancel()
	r, _, err := peer.Blob(ctx, w.blob.Digest)
	w.check(err)
	got, err := digest.FromReader(r)
	w.check(errors.Join(err, r.Close()))
	if got != w.blob.Digest {
		w.Errorf("%s came instead of %s", got, w.blob.Digest)
	}
}

// Feed goes on at another node when the one that is fed goes away, and ends with
// the Operation.
func TestFeed(t *testing.T) {
	w := newFeedWorld(t, 2)
	var sent int64
	var through []string
	w.feeder.Progress = func(p FeedProgress) {
		w.mu.Lock()
		defer w.mu.Unlock()
		sent = p.Sent
		through = append(through, p.Node)
	}
	w.mu.Lock()
	// Nobody listens at the control plane, which is tried first.
	w.nodes.Items[0].Status.Addresses[0].Address = "127.0.0.77"
	w.mu.Unlock()
	for _, p := range w.peers {
		p.Want(w.blob.Digest)
	}
	result := w.feed(w.store)
	for _, p := range w.peers {
		w.read(p)
		p.Complete()
	}
	for _, p := range w.peers {
		w.check(p.WaitAll(t.Context()))
	}
	w.mu.Lock()
	w.op.Status.Phase = v1alpha1.OperationSucceeded
	w.mu.Unlock()
	if err := w.await(result); err != nil {
		t.Errorf("got %v", err)
	}
	if sent < w.blob.Size || sent > w.blob.Size+64<<10 || through[0] != "n1" {
		t.Errorf("%d bytes were sent, through %v", sent, through[0])
	}
	if len(w.logs) != 1 || !strings.Contains(w.logs[0], "through n0 was broken off") {
		t.Errorf("logs %q", w.logs)
	}
}

// broken can't be read.
type broken struct{}

var errBroken = errors.New("input/output error")

// Blob fails.
func (broken) Blob(context.Context, digest.Digest) (io.ReadCloser, int64, error) {
	return nil, 0, errBroken
}

// What can't be read here, or may not be done, is tried at no other node.
func TestFeedHopeless(t *testing.T) {
	t.Run("unreadable", func(t *testing.T) {
		w := newFeedWorld(t, 1)
		w.peers[0].Want(w.blob.Digest)
		if err := w.await(w.feed(broken{})); !errors.Is(err, errBroken) || !errors.Is(err, swarm.ErrFeedHopeless) {
			t.Errorf("got %v", err)
		}
		w.feed(w.store)
		w.read(w.peers[0])
	})
	t.Run("another parcel", func(t *testing.T) {
		w := newFeedWorld(t, 1)
		other := *w.parcel
		other.Images = nil
		w.parcel = &other
		if err := w.await(w.feed(w.store)); !errors.Is(err, swarm.ErrFeedHopeless) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("forbidden", func(t *testing.T) {
		w := newFeedWorld(t, 1)
		w.denied = true
		if err := w.await(w.feed(w.store)); err == nil || !strings.Contains(err.Error(), "forbidden") {
			t.Errorf("got %v", err)
		}
	})
}
