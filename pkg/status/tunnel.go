package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

// tunnel reaches the ports of one host's loopback through the kubelet: by the
// forwarding of a port of a pod that is in the host's network.
type tunnel struct {
	clients *client.Clients
	// pod is the name of such a pod in kube-system; empty when there is none.
	pod string

	mu   sync.Mutex
	conn httpstream.Connection
	err  error
	next int
}

var errNoPod = errors.New("no pod of kube-system runs there in the host's network")

// dial connects to a port of the host. It is made for http.Transport.
func (t *tunnel) dial(ctx context.Context, port int) (net.Conn, error) {
	type dialed struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialed, 1)
	go func() {
		conn, err := t.open(port)
		done <- dialed{conn, err}
	}()
	select {
	case d := <-done:
		return d.conn, d.err
	case <-ctx.Done():
		// client-go's dialers take no context; what comes of it is ended with the tunnel.
		return nil, context.Cause(ctx)
	}
}

func (t *tunnel) open(port int) (net.Conn, error) {
	conn, id, err := t.connection()
	if err != nil {
		return nil, err
	}
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(id))
	complaint, err := conn.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("forward port %d: %w", port, err)
	}
	// Nothing is written there; its end would come with the data's anyway.
	_ = complaint.Close()
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("forward port %d: %w", port, err)
	}
	s := &streamConn{Stream: data, port: port, said: make(chan struct{})}
	go func() {
		defer close(s.said)
		message, err := io.ReadAll(io.LimitReader(complaint, 4096))
		if err == nil {
			s.complaint = strings.TrimSpace(string(message))
		}
		if s.complaint != "" {
			_ = data.Reset() // So that whoever reads learns of it.
		}
	}()
	return s, nil
}

// connection is the one to the kubelet, made when first needed.
func (t *tunnel) connection() (httpstream.Connection, int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	if t.conn != nil || t.err != nil {
		return t.conn, t.next, t.err
	}
	t.conn, t.err = t.connect()
	return t.conn, t.next, t.err
}

func (t *tunnel) connect() (httpstream.Connection, error) {
	if t.pod == "" {
		return nil, errNoPod
	}
	dialer, err := t.clients.Forwarder(metav1.NamespaceSystem, t.pod, probeTimeout)
	if err != nil {
		return nil, fmt.Errorf("forward ports of pod %s: %w", t.pod, err)
	}
	conn, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, fmt.Errorf("forward ports of pod %s: %w", t.pod, err)
	}
	return conn, nil
}

// Close ends all connections.
func (t *tunnel) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil {
		_ = t.conn.Close() // Nothing is lost with what was only read.
	}
	t.conn, t.err = nil, net.ErrClosed
}

// streamConn is a stream as a connection.
type streamConn struct {
	httpstream.Stream
	port      int
	said      chan struct{}
	complaint string
}

// Read names the port when nobody listens there.
func (s *streamConn) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if err == nil || n > 0 {
		return n, err
	}
	select {
	case <-s.said:
		if s.complaint != "" {
			return n, fmt.Errorf("port %d on its loopback: %s", s.port, lastPart(s.complaint))
		}
	case <-time.After(complaintTimeout):
	}
	return n, err
}

// complaintTimeout is how long the reason of an end is waited for.
const complaintTimeout = 500 * time.Millisecond

// lastPart is the innermost of nested messages: connect: connection refused. The
// kubelet's runtime tries IPv6 after IPv4, where a host without it has another reason.
func lastPart(message string) string {
	const refused = "connection refused"
	if strings.Contains(message, refused) {
		return "connect: " + refused
	}
	parts := strings.Split(message, ": ")
	return strings.Join(parts[max(0, len(parts)-2):], ": ")
}

// Close ends the stream in both directions.
func (s *streamConn) Close() error { return s.Reset() }

// LocalAddr, RemoteAddr and the deadlines are of no meaning here; requests have contexts.
func (s *streamConn) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (s *streamConn) RemoteAddr() net.Addr { return &net.TCPAddr{Port: s.port} }

// SetDeadline does nothing; see above.
func (s *streamConn) SetDeadline(time.Time) error      { return nil }
func (s *streamConn) SetReadDeadline(time.Time) error  { return nil }
func (s *streamConn) SetWriteDeadline(time.Time) error { return nil }
