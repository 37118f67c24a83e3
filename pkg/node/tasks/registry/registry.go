// Package registry puts together all tasks that an agent can do.
package registry

import (
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdcare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/follow"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/inspect"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/kubeletcert"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/offsite"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/reach"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/release"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/restore"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/survey"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

// All returns every task by its name.
func All() map[string]node.Task {
	all := map[string]node.Task{}
	for _, t := range []node.Task{
		{Name: tasks.Observe, ReadOnly: true, Run: node.Typed(observe.Run)},
		{Name: tasks.Listen, ReadOnly: true, Run: node.Typed(reach.Listen)},
		{Name: tasks.Dial, ReadOnly: true, Run: node.Typed(reach.Dial)},
		{Name: tasks.Prepare, Run: node.Typed(prepare.Run)},
		{Name: tasks.Images, Beside: true, Run: node.Typed(prepare.Images)},
		{Name: tasks.Tidy, Run: node.Typed(prepare.Tidy)},
		{Name: tasks.Etcd, Run: node.Typed(etcdmember.Run)},
		{Name: tasks.EtcdHealth, ReadOnly: true, Run: node.Typed(etcdmember.Health)},
		{Name: tasks.EtcdMayLeave, ReadOnly: true, Run: node.Typed(etcdmember.MayLeave)},
		{Name: tasks.EtcdLeave, Run: node.Typed(etcdmember.Leave)},
		{Name: tasks.EtcdDrop, Run: node.Typed(etcdmember.Drop)},
		{Name: tasks.EtcdLook, ReadOnly: true, Run: node.Typed(etcdcare.Look)},
		{Name: tasks.EtcdGate, ReadOnly: true, Run: node.Typed(etcdcare.Gate)},
		{Name: tasks.EtcdDefrag, Run: node.Typed(etcdcare.Defrag)},
		{Name: tasks.EtcdCompact, Run: node.Typed(etcdcare.Compact)},
		{Name: tasks.EtcdFree, Run: node.Typed(etcdcare.Free)},
		{Name: tasks.EtcdFit, ReadOnly: true, Run: node.Typed(etcdmember.Fit)},
		{Name: tasks.EtcdStage, Run: node.Typed(prepare.Stage)},
		{Name: tasks.EtcdUpgrade, Run: node.Typed(etcdmember.Upgrade)},
		{Name: tasks.EtcdDowngrade, Run: node.Typed(etcdcare.Downgrade)},
		{Name: tasks.EtcdSettings, Run: node.Typed(etcdmember.Apply)},
		{Name: tasks.EtcdTrust, Run: node.Typed(etcdmember.Trust)},
		{Name: tasks.Follow, Run: node.Typed(follow.Endpoints)},
		{Name: tasks.Retire, Run: node.Typed(follow.Retire)},
		{Name: tasks.VIP, Run: node.Typed(vip.Run)},
		{Name: tasks.RemoveVIP, Run: node.Typed(vip.Remove)},
		{Name: tasks.Drain, Run: node.Typed(vip.Drain)},
		{Name: tasks.HoldsVIP, ReadOnly: true, Run: node.Typed(vip.Look)},
		{Name: tasks.Init, Run: node.Typed(controlplane.Init)},
		{Name: tasks.JoinNode, Run: node.Typed(controlplane.JoinNode)},
		{Name: tasks.UploadCerts, Run: node.Typed(controlplane.UploadCerts)},
		{Name: tasks.Promote, Run: node.Typed(controlplane.Promote)},
		{Name: tasks.PushImages, Beside: true, Run: node.Typed(images.Run)},
		{Name: tasks.PruneImages, Beside: true, Run: node.Typed(images.Prune)},
		{Name: tasks.Backup, Run: node.Typed(backup.Run)},
		{Name: tasks.ListBackups, ReadOnly: true, Run: node.Typed(backup.List)},
		{Name: tasks.BackupMetrics, Run: node.Typed(backup.Metrics)},
		{Name: tasks.Restore, Run: node.Typed(restore.Run)},
		{Name: tasks.LookForRestore, ReadOnly: true, Run: node.Typed(restore.Look)},
		{Name: tasks.ReadSnapshot, ReadOnly: true, Run: node.Typed(restore.Read)},
		{Name: tasks.VerifyBackup, Run: node.Typed(restore.Verify)},
		{Name: tasks.SendBackup, Beside: true, Run: node.Typed(offsite.Send)},
		{Name: tasks.BackupTarget, ReadOnly: true, Run: node.Typed(offsite.Target)},
		{Name: tasks.UpgradeCheck, ReadOnly: true, Run: node.Typed(upgrade.Check)},
		{Name: tasks.UpgradeControlPlane, Run: node.Typed(upgrade.ControlPlane)},
		{Name: tasks.UpgradeKubelet, Run: node.Typed(upgrade.Kubelet)},
		{Name: tasks.RollbackNode, Run: node.Typed(upgrade.Rollback)},
		{Name: tasks.UpgradeMend, Run: node.Typed(upgrade.Mend)},
		{Name: tasks.UpgradeSettle, Run: node.Typed(upgrade.Settle)},
		{Name: tasks.ServeKubelet, Run: node.Typed(kubeletcert.Serving)},
		{Name: tasks.SignServer, ReadOnly: true, Run: node.Typed(kubeletcert.Sign)},
		{Name: tasks.Inspect, ReadOnly: true, Run: node.Typed(inspect.Run)},
		{Name: tasks.Survey, ReadOnly: true, Run: node.Typed(survey.Run)},
		{Name: tasks.Release, Run: node.Typed(release.Run)},
		{Name: tasks.Uninstall, Run: node.Typed(uninstall.Run)},
		{Name: tasks.EtcdIdentity, ReadOnly: true, Run: node.Typed(backup.Identity)},
		{Name: tasks.InstallAgent, Run: node.Typed(prepare.Agent)},
		{Name: tasks.KubeletEndpoint, Run: node.Typed(loadbalancer.Kubelet)},
		{Name: tasks.AdminEndpoint, Run: node.Typed(loadbalancer.Admin)},
		{Name: tasks.APIServerNames, Run: node.Typed(loadbalancer.Names)},
		{Name: tasks.Certificates, ReadOnly: true, Run: node.Typed(certs.Look)},
		{Name: tasks.CertificateRequests, Run: node.Typed(certs.Request)},
		{Name: tasks.InstallCertificates, Run: node.Typed(certs.Install)},
		{Name: tasks.RenewCertificates, Run: node.Typed(certs.Renew)},
		{Name: tasks.CertificateMetrics, Run: node.Typed(certs.Metrics)},
		{Name: tasks.RotateAuthority, Run: node.Typed(certs.Rotate)},
		{Name: tasks.RotationOffer, Run: node.Typed(certs.RotationOffer)},
		{Name: tasks.RotationRefresh, Run: node.Typed(certs.Refresh)},
		{Name: tasks.RotationReceive, Run: node.Typed(certs.RotationReceive)},
		{Name: tasks.RotationLook, ReadOnly: true, Run: node.Typed(certs.RotationLook)},
		{Name: tasks.SignCertificates, ReadOnly: true, Run: node.Typed(certs.Sign)},
		{Name: tasks.AdminKubeconfig, ReadOnly: true, Run: node.Typed(controlplane.AdminKubeconfig)},
	} {
		all[t.Name] = t
	}
	return all
}
