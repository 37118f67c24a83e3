package backups

import (
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/offsite"
)

// Manifest is that of a backup of which nothing was made yet.
func Manifest(c *v1alpha1.Cluster, name string) backup.Manifest {
	return backup.Manifest{Name: name, Cluster: c.Metadata.Name, KubernetesVersion: c.Spec.KubernetesVersion, EtcdVersion: c.Spec.Etcd.Version}
}

// Note notes in a manifest what the host has made that takes the snapshot.
func Note(m *backup.Manifest, made taskbackup.Backup) {
	if s := made.Snapshot; s != nil {
		m.Created, m.Revision, m.Entries = made.Created, s.Revision, s.Entries
	}
}

// Gather notes in a manifest what hosts have sent, who are named in the same order. It is pure.
func Gather(m *backup.Manifest, hosts []string, sent []offsite.SendData) error {
	for i, s := range sent {
		if s.Identity != sent[0].Identity {
			return fmt.Errorf("%s and %s are of different clusters: their etcd CAs are %s and %s", hosts[0], hosts[i], sent[0].Identity, s.Identity)
		}
		m.Parts = append(m.Parts, s.Parts...)
	}
	m.Identity = sent[0].Identity
	return nil
}
