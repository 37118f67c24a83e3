package operate

import (
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func TestSameIntent(t *testing.T) {
	add := func(names ...string) v1alpha1.OperationSpec {
		return v1alpha1.OperationSpec{Type: v1alpha1.OperationAddNode, AddNode: &v1alpha1.AddNodeSpec{Nodes: names}}
	}
	remove := func(name string, force bool) v1alpha1.OperationSpec {
		return v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveNode, RemoveNode: &v1alpha1.RemoveNodeSpec{Node: name, ForceDrain: force}}
	}
	member := func(name string) v1alpha1.OperationSpec {
		return v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveNode, RemoveNode: &v1alpha1.RemoveNodeSpec{EtcdMember: name}}
	}
	for _, tt := range []struct {
		name string
		a, b v1alpha1.OperationSpec
		want bool
	}{
		{"the same hosts", add("w1", "w2"), add("w1", "w2"), true},
		{"other hosts", add("w1"), add("w1", "w2"), false},
		{"the same host, more gently", remove("cp1", false), remove("cp1", true), true},
		{"a member of etcd", member("a"), member("a"), true},
		{"another member of etcd", member("a"), member("b"), false},
		{"another host", remove("cp1", false), remove("cp2", false), false},
		{"the other way round", add("cp1"), remove("cp1", false), false},
		{"an upgrade", v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade}, v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade}, false},
	} {
		if got := sameIntent(tt.a, tt.b); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
