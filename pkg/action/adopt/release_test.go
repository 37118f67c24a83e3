package adopt

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestReleaseLines: what would be lost, and what stays replaced, is told before anybody says yes.
func TestReleaseLines(t *testing.T) {
	r := &Release{Cluster: &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Hosts: []v1alpha1.Host{{Name: "cp1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, {Name: "w1"}}}},
		Backups: map[string]int{"cp1": 2}, Kept: map[string][]string{"w1": {"/usr/local/bin/kubelet"}}}
	text := strings.Join(r.Lines(), "\n")
	for _, want := range []string{"2 hosts", "cp1: its 2 backups of etcd go as well", "w1: stays as it is now, since the cluster runs on it: /usr/local/bin/kubelet", "schedules and Jobs"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not told:\n%s", want, text)
		}
	}
}
