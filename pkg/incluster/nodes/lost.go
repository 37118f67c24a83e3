package nodes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// A host is lost when nothing is heard of its kubelet and nothing of it answers. One of the two
// is not enough: a kubelet that was stopped for maintenance, or that hangs, leaves an API
// server, an etcd member and a virtual IP behind that go on. Who has cut the host off says so
// (RemoveNodeSpec.Fenced), since a host that can't be reached from here may run on elsewhere.

// dialTimeout bounds a look at one port. A host that is off costs no more than that, since all
// its ports are looked at at the same time.
const dialTimeout = 3 * time.Second

// port is one at which a host may answer.
type port struct {
	number int
	what   string
}

// dial is net.Dialer.DialContext for an address; it closes what it opens.
type dial func(ctx context.Context, address string) error

func dialTCP(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// services are the ports of what must not go on on a host that is out: an API server, and a
// member of etcd.
func services(c *v1alpha1.Cluster) []port {
	return []port{{int(c.Spec.APIServerPort), "an API server"}, {v1alpha1.EtcdClientPort, "etcd"}}
}

// answers says by what a host shows that it runs; empty when nothing does. reported is the
// address by which the node goes, for one that the document does not have. A port that refuses
// is an answer as well: there is a kernel that says so.
func answers(ctx context.Context, c *v1alpha1.Cluster, name, reported string, dial dial) string {
	address, ssh := reported, 22
	if h, ok := c.Host(name); ok {
		address = h.Address
		if c.Spec.SSH.Port != 0 {
			ssh = int(c.Spec.SSH.Port)
		}
		if h.SSH != nil && h.SSH.Port != 0 {
			ssh = int(h.SSH.Port)
		}
	}
	if address == "" {
		return ""
	}
	ports := append(services(c), port{10250, "its kubelet"}, port{ssh, "SSH"})
	seen := make([]error, len(ports))
	var all sync.WaitGroup
	for i, p := range ports {
		all.Go(func() { seen[i] = dial(ctx, net.JoinHostPort(address, strconv.Itoa(p.number))) })
	}
	all.Wait()
	var open []string
	refuses := false
	for i, err := range seen {
		if err == nil {
			open = append(open, fmt.Sprintf("%s answers at port %d", ports[i].what, ports[i].number))
		}
		refuses = refuses || errors.Is(err, syscall.ECONNREFUSED)
	}
	switch {
	case len(open) > 0:
		return strings.Join(open, ", ")
	case refuses:
		return address + " refuses connections, so that something runs there"
	}
	return ""
}

// gone says why a host that leaves counts as lost, in the middle of an Operation; empty when it
// does not, or when that can't be told.
func gone(ctx context.Context, t engine.Turn) string {
	spec := t.Operation.Spec.RemoveNode
	n, err := t.Clients.Kube.CoreV1().Nodes().Get(ctx, spec.Node, metav1.GetOptions{})
	if err != nil {
		return "" // Who can't be asked about is not taken for gone.
	}
	silent := ready.Silent(n)
	if silent == "" || spec.Fenced {
		return silent
	}
	if answers(ctx, t.Cluster, spec.Node, internalAddress(*n), dialTCP) != "" {
		return ""
	}
	return silent
}

func internalAddress(n corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

// errGoesOn is of a host that was taken for lost and is not.
var errGoesOn = errors.New("it goes on after its removal")

// silenced looks whether nothing of a lost host serves any more, at the very end: what was
// taken for lost may be back by then.
func silenced(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	spec := t.Operation.Spec.RemoveNode
	if spec.Address == "" {
		return engine.Outcome{Message: "its address is not known"}, nil
	}
	found, err := serving(ctx, t.Cluster, spec.Address, dialTCP)
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("%s at %s: %w: %s. It has logins of the cluster and may hold the virtual IP: switch it off now, and run kubectl ha uninstall for it before it is connected again", spec.Node, spec.Address, err, found)
	}
	if _, err := t.Clients.Kube.CoreV1().Nodes().Get(ctx, spec.Node, metav1.GetOptions{}); err == nil {
		return engine.Outcome{}, fmt.Errorf("%s: its kubelet has come back and has made the node again: switch the host off, then kubectl ha node remove %s", spec.Node, spec.Node)
	} else if !apierrors.IsNotFound(err) {
		return engine.Outcome{}, fmt.Errorf("read node %s: %w", spec.Node, err)
	}
	return engine.Outcome{Message: "nothing of it answers"}, nil
}

// serving is errGoesOn when something of the cluster serves at an address, and says what.
func serving(ctx context.Context, c *v1alpha1.Cluster, address string, dial dial) (string, error) {
	var found []string
	for _, p := range services(c) {
		if dial(ctx, net.JoinHostPort(address, strconv.Itoa(p.number))) == nil {
			found = append(found, fmt.Sprintf("%s answers at port %d", p.what, p.number))
		}
	}
	if len(found) > 0 {
		return strings.Join(found, ", "), errGoesOn
	}
	return "", nil
}
