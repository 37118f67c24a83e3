package upgrade

import (
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
)

func TestOnHost(t *testing.T) {
	made := time.Unix(1000, 0)
	got := OnHost("cp1", backup.ListData{
		Backups: []backup.Backup{{Name: "upgrade-a", Created: made, Archive: backup.Archive{Files: 30}, Snapshot: &backup.Snapshot{Revision: 77, Bytes: 5e6}},
			{Name: "upgrade-b", Created: made, Archive: backup.Archive{Files: 29}}},
		Broken: map[string]string{"upgrade-c": "its digest is another"},
	})
	if len(got) != 3 || got[0].What != "/var/lib/kubectl-ha/backups/upgrade-a: 30 files of the host, etcd at revision 77, 4.8 MiB" || !got[0].Made.Equal(made) ||
		strings.Contains(got[1].What, "etcd") || got[2].Name != "upgrade-c" || got[2].Node != "cp1" || !strings.Contains(got[2].What, "NOT whole") {
		t.Errorf("%+v", got)
	}
}

func TestBackedUpHosts(t *testing.T) {
	c := &v1alpha1.Cluster{}
	for name, roles := range map[string][]v1alpha1.Role{"cp1": {v1alpha1.RoleControlPlane}, "w1": {v1alpha1.RoleWorker},
		"e1": {v1alpha1.RoleEtcd}, "we": {v1alpha1.RoleWorker, v1alpha1.RoleEtcd}} {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: name, Roles: roles})
	}
	names := map[string]bool{}
	for _, h := range backedUpHosts(c) {
		names[h.Name] = true
	}
	// One that is no node of the cluster can be reached by no Job.
	if len(names) != 2 || !names["cp1"] || !names["we"] {
		t.Errorf("%v", names)
	}
}
