package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/follow"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

const (
	vipTimeout       = time.Minute
	peersTimeout     = 2 * time.Minute
	leaveTimeout     = 5 * time.Minute
	endpointsTimeout = 10 * time.Minute
	retireTimeout    = 10 * time.Minute
	// lockTimeout is for a task on the node that was thought lost and is not.
	lockTimeout = 5 * time.Minute
	// lostAfter is for how long a node may be silent, beyond the 40 seconds or so
	// after which its condition tells.
	lostAfter = time.Minute
	// lostRetries is how often a node that went away is begun with anew; each task
	// finishes what was begun.
	lostRetries = 2
)

func task(request func(ctx context.Context, t engine.Turn) (node.Request, error), message func(node.Result) string) engine.NodeTask {
	return engine.NodeTask{Request: request, LostRetries: lostRetries, LostAfter: lostAfter, Message: message}
}

func request(task string, timeout time.Duration, spec any) (node.Request, error) {
	r, err := node.NewRequest(task, timeout, spec)
	r.LockTimeout = lockTimeout
	return r, err
}

// members maps the etcd members' names to addresses.
func members(c *v1alpha1.Cluster) map[string]string {
	out := map[string]string{}
	for _, m := range c.EtcdMembers() {
		out[m.Name] = m.Address
	}
	return out
}

func leaveSpec(ctx context.Context, t engine.Turn) (etcdmember.LeaveSpec, error) {
	spec := t.Operation.Spec.RemoveNode
	address := spec.Address
	if h, ok := t.Cluster.Host(spec.Node); ok {
		address = h.Address
	}
	if address == "" { // The document does not have it; it is a node until its member has left.
		n, err := t.Clients.Kube.CoreV1().Nodes().Get(ctx, spec.Node, metav1.GetOptions{})
		if err != nil {
			return etcdmember.LeaveSpec{}, fmt.Errorf("read the address of node %s: %w", spec.Node, err)
		}
		address = internalAddress(*n)
	}
	if address == "" {
		return etcdmember.LeaveSpec{}, fmt.Errorf("the address of %s is not known any more", spec.Node)
	}
	all := members(t.Cluster)
	all[spec.Node] = address
	_, listed := t.Cluster.Host(spec.Node)
	return etcdmember.LeaveSpec{Name: spec.Node, Address: address, Members: all, MayBeNone: !listed}, nil
}

func mayLeave(ctx context.Context, t engine.Turn) (node.Request, error) {
	spec, err := leaveSpec(ctx, t)
	if err != nil {
		return node.Request{}, err
	}
	return request(tasks.EtcdMayLeave, leaveTimeout, spec)
}

func leave(ctx context.Context, t engine.Turn) (node.Request, error) {
	spec, err := leaveSpec(ctx, t)
	if err != nil {
		return node.Request{}, err
	}
	return request(tasks.EtcdLeave, leaveTimeout, spec)
}

func moveVIP(away bool) func(context.Context, engine.Turn) (node.Request, error) {
	return func(context.Context, engine.Turn) (node.Request, error) {
		return request(tasks.Drain, vipTimeout, vip.DrainSpec{Drain: away})
	}
}

// endpoints tells a control plane of the etcd members as they will be.
func endpoints(_ context.Context, t engine.Turn) (node.Request, error) {
	c := result(t)
	h, ok := c.Host(t.Step.Node)
	if !ok {
		return node.Request{}, fmt.Errorf("the stored Cluster document has no host %s", t.Step.Node)
	}
	return request(tasks.Follow, endpointsTimeout, follow.Spec{
		EtcdEndpoints: c.EtcdEndpoints(), EtcdMembers: members(c), Elsewhere: c.MovesVirtualIP(),
		LocalEndpoint: c.APIServerURL(h.Address),
	})
}

// kubeletAway points the kubelet of a control plane that leaves at the endpoint of all kubelets.
func kubeletAway(_ context.Context, t engine.Turn) (node.Request, error) {
	h, ok := t.Cluster.Host(t.Step.Node)
	if !ok {
		return node.Request{}, fmt.Errorf("the stored Cluster document has no host %s", t.Step.Node)
	}
	return request(tasks.KubeletEndpoint, peersTimeout, loadbalancer.KubeletSpec{Server: t.Cluster.URLFor(v1alpha1.UseForKubelets), From: []string{t.Cluster.APIServerURL(h.Address)}})
}

func peers(_ context.Context, t engine.Turn) (node.Request, error) {
	spec, ok := vip.SpecOf(result(t), t.Step.Node)
	if !ok {
		return node.Request{}, fmt.Errorf("the stored Cluster document has no control plane %s", t.Step.Node)
	}
	return request(tasks.VIP, peersTimeout, spec)
}

func retire(_ context.Context, t engine.Turn) (node.Request, error) {
	return request(tasks.Retire, retireTimeout, follow.RetireSpec{EtcdData: t.Cluster.Spec.Etcd.DataDir})
}

// saying is the line of a task whose success says all.
func saying(text string) func(node.Result) string { return func(node.Result) string { return text } }

// answered is what was seen of etcd in a line.
func answered(r node.Result) string {
	var d etcdmember.LeaveData
	if json.Unmarshal(r.Data, &d) != nil {
		return "" // Only the data got lost on its way, not the result.
	}
	if d.Gone && d.Members == 0 {
		return "it has no member"
	}
	text := fmt.Sprintf("%d of %d other members answer", d.Answer, d.Members)
	if d.Gone {
		return "it is no member any more; " + text
	}
	return text
}

// restarted is what became of an apiserver in a line.
func restarted(r node.Result) string {
	var d follow.Data
	if json.Unmarshal(r.Data, &d) != nil {
		return "" // As above.
	}
	if !d.Restarted {
		return "it knows already"
	}
	return "it has restarted, and is ready"
}

// retired says what is left on a host.
func retired(r node.Result) string {
	var d follow.RetireData
	if json.Unmarshal(r.Data, &d) != nil || len(d.Left) == 0 {
		return ""
	}
	return "what is left there: " + strings.Join(d.Left, ", ")
}
