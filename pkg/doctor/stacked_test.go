package doctor

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// TestHintsOnStacked: nobody is sent to a command that refuses kubeadm's own etcd.
func TestHintsOnStacked(t *testing.T) {
	for topology, want := range map[v1alpha1.EtcdTopology]bool{v1alpha1.EtcdStacked: false, v1alpha1.EtcdExternal: true} {
		in := Input{Cluster: &v1alpha1.Cluster{}}
		in.Cluster.Spec.Etcd.Topology = topology
		in.Report.Etcd = []status.Member{{Node: "cp1", Version: "3.5.24"}, {Node: "cp2", Version: "3.6.8"}}
		found := etcdVersion(in)
		if len(found) != 2 {
			t.Fatalf("found %+v", found)
		}
		for _, f := range found {
			if got := strings.Contains(f.Hint, "kubectl ha etcd upgrade"); got != want {
				t.Errorf("%s: %q", topology, f.Hint)
			}
		}
	}
}
