package incluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestRemoveMember: an Operation takes a member of etcd out that is no host's, by one task on a
// control plane, which is told of all hosts and nodes. That of a host fails before any task.
func TestRemoveMember(t *testing.T) {
	s, f := start(t)
	f.create()
	// A node that is in no document.
	x1, err := f.kube.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "x1"}}, metav1.CreateOptions{})
	f.must(err)
	x1.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.77.0.31"}}
	_, err = f.kube.CoreV1().Nodes().UpdateStatus(t.Context(), x1, metav1.UpdateOptions{})
	f.must(err)
	_, err = incluster.Install(t.Context(), s.Config, f.c)
	f.must(err)
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	f.must(err)
	const peer = "https://10.77.0.14:2380"
	f.other = func(_ context.Context, on string, req node.Request) (node.Result, error) {
		var spec etcdmember.DropSpec
		if err := json.Unmarshal(req.Spec, &spec); err != nil || req.Task != tasks.EtcdDrop || on != "cp1" {
			return node.Result{}, fmt.Errorf("nobody expected %s on %s: %w", req.Task, on, err)
		}
		hosts := map[string]string{"cp1": "10.77.0.11", "cp2": "10.77.0.12", "cp3": "10.77.0.13", "w1": "10.77.0.21", "x1": "10.77.0.31"}
		members := map[string]string{"cp1": "10.77.0.11", "cp2": "10.77.0.12", "cp3": "10.77.0.13"}
		if spec.Member != peer || !maps.Equal(spec.Hosts, hosts) || !maps.Equal(spec.Members, members) {
			t.Errorf("it was told %+v", spec)
		}
		data, err := json.Marshal(etcdmember.DropData{Dropped: peer, Left: []string{"cp1 at https://10.77.0.11:2380"}})
		return node.Result{Data: data}, err
	}
	coordinate(t, s.Config, f)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	for _, tt := range []struct{ member, want string }{
		{peer, ""},
		{"https://10.77.0.12:2380", "cp2 is part of the cluster"},
		{"https://10.77.0.31:2380", "x1 is part of the cluster"},
		{"w1", "w1 is part of the cluster"},
	} {
		op, err := ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveNode, RemoveNode: &v1alpha1.RemoveNodeSpec{EtcdMember: tt.member}})
		f.must(err)
		err = ops.Watch(ctx, op.Name, report.SinkFunc(func(report.Event) {}))
		done, getErr := ops.Get(ctx, op.Name)
		f.must(getErr)
		if tt.want != "" {
			if err == nil || done.Status.Phase != v1alpha1.OperationFailed || !strings.Contains(done.Status.Message, tt.want) {
				t.Errorf("%s: %v, %s, want %q", tt.member, err, done.Status.Message, tt.want)
			}
			continue
		}
		steps := done.Status.Steps
		if err != nil || len(steps) != 2 || !strings.Contains(steps[1].Message, peer+" is out") {
			t.Errorf("%s: %v, %+v", tt.member, err, steps)
		}
	}
	if got := f.tasks(); !maps.Equal(got, map[string]int{"etcd-drop cp1": 1}) {
		t.Errorf("tasks were %v", got)
	}
}
