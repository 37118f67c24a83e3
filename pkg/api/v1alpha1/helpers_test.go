package v1alpha1

import (
	"slices"
	"strings"
	"testing"
)

// TestKeepers: control planes come first, in the order given; workers and who is not among them are left out.
func TestKeepers(t *testing.T) {
	c := &Cluster{Spec: ClusterSpec{Hosts: []Host{
		{Name: "e1", Roles: []Role{RoleEtcd}}, {Name: "cp1", Roles: []Role{RoleControlPlane}}, {Name: "w1", Roles: []Role{RoleWorker}},
		{Name: "w2", Roles: []Role{RoleWorker, RoleEtcd}}, {Name: "cp2", Roles: []Role{RoleControlPlane, RoleEtcd}},
	}}}
	backwards := slices.Clone(c.Spec.Hosts)
	slices.Reverse(backwards)
	for want, among := range map[string][]Host{"cp1 cp2 e1 w2": c.Spec.Hosts, "cp2 cp1 w2 e1": backwards, "cp1 cp2 w2": c.Nodes(), "": nil} {
		var names []string
		for _, h := range c.Keepers(among) {
			names = append(names, h.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
	stacked := &Cluster{Spec: ClusterSpec{Hosts: []Host{{Name: "cp1", Roles: []Role{RoleControlPlane}}, {Name: "w1"}}}}
	if got := stacked.Keepers(stacked.Spec.Hosts); len(got) != 1 {
		t.Errorf("without members of their own: %v", got)
	}
}
