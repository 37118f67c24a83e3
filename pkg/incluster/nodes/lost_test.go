package nodes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// TestAnswers: what answers tells that a host runs, and so does what refuses.
func TestAnswers(t *testing.T) {
	c := testCluster(3, 1)
	c.Spec.SSH.Port = 2222
	c.Spec.Hosts[1].SSH = &v1alpha1.SSH{Port: 2223}
	refused, silent := fmt.Errorf("dial: %w", syscall.ECONNREFUSED), errors.New("i/o timeout")
	for name, tc := range map[string]struct {
		host, reported string
		// seen are the answers by address; all others are silent.
		seen map[string]error
		// dialled is one of the addresses that must have been looked at.
		want, dialled string
	}{
		"off":                       {"cp1", "", nil, "", "10.0.0.11:6443"},
		"all but its kubelet":       {"cp1", "", map[string]error{"10.0.0.11:6443": nil, "10.0.0.11:2379": nil, "10.0.0.11:10250": refused}, "an API server answers at port 6443, etcd answers at port 2379", "10.0.0.11:2222"},
		"a host with nothing on it": {"w1", "", map[string]error{"10.0.0.21:22": refused, "10.0.0.21:10250": refused}, "10.0.0.21 refuses connections, so that something runs there", "10.0.0.21:10250"},
		"SSH at a port of its own":  {"cp2", "", map[string]error{"10.0.0.12:2223": nil}, "SSH answers at port 2223", "10.0.0.12:2223"},
		"not in the document":       {"x1", "10.0.0.99", map[string]error{"10.0.0.99:10250": nil}, "its kubelet answers at port 10250", "10.0.0.99:22"},
		"of no known address":       {"x1", "", nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			dialled := map[string]bool{"": true}
			got := answers(t.Context(), c, tc.host, tc.reported, func(_ context.Context, address string) error {
				mu.Lock()
				defer mu.Unlock()
				dialled[address] = true
				if err, ok := tc.seen[address]; ok {
					return err
				}
				return silent
			})
			if got != tc.want || !dialled[tc.dialled] {
				t.Errorf("%q, want %q; looked at %v", got, tc.want, dialled)
			}
		})
	}
}

// TestGone: in the middle of a removal, with a real port that answers and one that refuses.
func TestGone(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	open := int32(listener.Addr().(*net.TCPAddr).Port) //nolint:gosec // a port
	for name, tc := range map[string]struct {
		ready  corev1.ConditionStatus
		port   int32
		fenced bool
		gone   bool
	}{
		"well":                            {corev1.ConditionTrue, open, false, false},
		"not ready is not silent":         {corev1.ConditionFalse, open, false, false},
		"silent, its API server answers":  {corev1.ConditionUnknown, open, false, false},
		"silent, and its host refuses":    {corev1.ConditionUnknown, 1, false, false},
		"silent, and said to be cut off":  {corev1.ConditionUnknown, open, true, true},
		"said to be cut off, and is well": {corev1.ConditionTrue, open, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := testCluster(1, 0)
			c.Spec.Hosts[0].Address, c.Spec.APIServerPort = "127.0.0.1", tc.port
			kube := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cp1"}, Status: corev1.NodeStatus{
				Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: tc.ready}}}})
			turn := engine.Turn{Env: engine.Env{Clients: &client.Clients{Kube: kube}, Cluster: c,
				Operation: &v1alpha1.Operation{Spec: v1alpha1.OperationSpec{RemoveNode: &v1alpha1.RemoveNodeSpec{Node: "cp1", Fenced: tc.fenced}}}}}
			if got := gone(t.Context(), turn); (got != "") != tc.gone {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestServing: what goes on after a removal is an error that names it.
func TestServing(t *testing.T) {
	c := testCluster(3, 0)
	found, err := serving(t.Context(), c, "10.0.0.11", func(_ context.Context, address string) error {
		if strings.HasSuffix(address, ":6443") {
			return nil
		}
		return syscall.ECONNREFUSED
	})
	if !errors.Is(err, errGoesOn) || found != "an API server answers at port 6443" {
		t.Errorf("%q %v", found, err)
	}
	if found, err := serving(t.Context(), c, "10.0.0.11", func(context.Context, string) error { return syscall.ECONNREFUSED }); err != nil || found != "" {
		t.Errorf("%q %v", found, err)
	}
}
