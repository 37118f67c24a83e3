package follow

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

const (
	keepalivedUnit = "keepalived.service"
	kubeletUnit    = "kubelet.service"
	// kubeletAfter is long enough for the task to tell its end, and for the kubelet
	// to end the static pods.
	kubeletAfter = 45

	kubernetesDir = "/etc/kubernetes"
	pkiDir        = kubernetesDir + "/pki"
	kubeletDir    = "/var/lib/kubelet"
	kubeletPKI    = kubeletDir + "/pki"
)

// service is a unit, and the file that tells that it is ours: a package may have
// enabled it before.
type service struct{ unit, file string }

var services = [3]service{
	{keepalivedUnit, vip.ConfigPath},
	{vip.WatchUnit, vip.WatchConfigPath},
	{etcdmember.UnitName, etcdmember.UnitPath},
}

// staticPods are the manifests of a control plane, the apiserver's first.
var staticPods = []string{apiserverManifest,
	kubernetesDir + "/manifests/kube-controller-manager.yaml", kubernetesDir + "/manifests/kube-scheduler.yaml",
	// That of kubeadm's own etcd, whose member is out by now.
	kubernetesDir + "/manifests/etcd.yaml"}

// secrets are the keys and logins that make whoever has them a master of the cluster.
var secrets = []string{
	kubernetesDir + "/admin.conf", kubernetesDir + "/super-admin.conf",
	kubernetesDir + "/controller-manager.conf", kubernetesDir + "/scheduler.conf",
	pkiDir + "/ca.key", pkiDir + "/front-proxy-ca.key", pkiDir + "/sa.key",
	pkiDir + "/apiserver.key", pkiDir + "/apiserver-kubelet-client.key", pkiDir + "/front-proxy-client.key", pkiDir + "/apiserver-etcd-client.key",
	pkiDir + "/etcd/ca.key", pkiDir + "/etcd/server.key", pkiDir + "/etcd/peer.key", pkiDir + "/etcd/healthcheck-client.key",
	etcdmember.PKIDir + "/server.key", etcdmember.PKIDir + "/peer.key",
}

// login is what a kubelet logs in to the cluster with, and what it serves with. It is the
// cluster's whoever has made it: with it one may be that node for up to a year, since Kubernetes
// renews it as long as it is good, and revokes none.
var login = []string{kubernetesDir + "/kubelet.conf", kubernetesDir + "/bootstrap-kubelet.conf", kubeletPKI}

// Retire takes a host out of service for good: it gives up the virtual IP, its
// static pods, its etcd member, and the keys with which it could speak for the
// cluster, with the copies that upgrades and backups have. The kubelet does not come back at a boot, and ends a little after the
// task, which runs in one of its pods; its login goes then. The rest is left to an uninstall.
func Retire(ctx context.Context, env node.Env, spec RetireSpec) (any, error) {
	h := env.Host
	// keepalived first: who has the address must not serve it without an apiserver.
	for _, s := range services[:2] {
		if err := s.stop(ctx, env); err != nil {
			return nil, err
		}
	}
	env.Progress("ending the static pods")
	for _, path := range staticPods {
		if err := remove(ctx, h, path); err != nil {
			return nil, err
		}
	}
	if err := services[2].stop(ctx, env); err != nil {
		return nil, err
	}
	for _, path := range secrets {
		if err := remove(ctx, h, path); err != nil {
			return nil, err
		}
	}
	// Upgrades and renewals have kept copies of all of these, and backups have etcd's whole
	// contents. The other control planes have backups of their own.
	for _, dir := range []string{upgrade.KeptDir, upgrade.ReleasesDir, backup.Dir, certs.StateDir} {
		if _, err := h.RemoveTree(ctx, dir); err != nil {
			return nil, err
		}
	}
	if err := upgrade.DropEtcdCopies(ctx, h); err != nil {
		return nil, err
	}
	if err := endKubelet(ctx, h, spec.KubeletAfter); err != nil {
		return nil, err
	}
	return left(h, cmp.Or(spec.EtcdData, v1alpha1.DefaultEtcdDataDir))
}

// stop stops and disables a service that we set up.
func (s service) stop(ctx context.Context, env node.Env) error {
	ledger, err := env.Host.Ledger()
	if err != nil {
		return fmt.Errorf("the host's ledger: %w", err)
	}
	if !ledger.Owns(s.file) {
		return nil
	}
	env.Progress("stopping %s", s.unit)
	_, err = env.Host.StopUnit(ctx, s.unit, true)
	return err
}

// remove removes a file of ours; kubeadm's are noted before it makes them. One that
// the ledger does not know is somebody else's, and stays.
func remove(ctx context.Context, h *host.Host, path string) error {
	ledger, err := h.Ledger()
	if err != nil {
		return fmt.Errorf("the host's ledger: %w", err)
	}
	if !ledger.Owns(path) {
		return nil
	}
	_, err = h.Remove(ctx, path)
	return err
}

// endKubelet disables the kubelet, and has systemd stop it a little later and then remove its
// login: as long as it runs it may write that anew.
func endKubelet(ctx context.Context, h *host.Host, after int) error {
	if after == 0 {
		after = kubeletAfter
	}
	u, err := h.Unit(ctx, kubeletUnit)
	if err != nil {
		return err
	}
	if u.UnitFileState == "enabled" {
		if _, err := h.Run(ctx, "keep the kubelet from coming back at a boot", host.Command{Argv: []string{"systemctl", "disable", kubeletUnit}, Timeout: time.Minute}); err != nil {
			return err
		}
	}
	owed := u.Active()
	for _, path := range login {
		there, err := h.Exists(path)
		if err != nil {
			return err
		}
		owed = owed || there
	}
	if !owed {
		return nil
	}
	return h.RunLater(ctx, host.Later{Timer: controlplane.RetireTimer, Why: "stop the kubelet a little later, and remove its login", After: after,
		Argv: []string{"systemctl", "stop", kubeletUnit}, Then: append([]string{"/bin/rm", "-rf", "--one-file-system"}, login...)})
}

// left names what is still there.
func left(h *host.Host, etcdData string) (RetireData, error) {
	var d RetireData
	for _, x := range []struct{ path, what string }{
		{etcdData, "etcd's data"}, {"/var/lib/containerd", "containers and images"},
		{kubernetesDir, "certificates, and settings of the kubelet"}, {kubeletDir, "the kubelet's data, with pods' volumes; its login goes as soon as it has ended"},
		{"/etc/cni/net.d", "the pod network's configuration"}, {host.StateDir, "the ledger, with files of before"}, {host.ProgramsRoot, "the agent"},
	} {
		there, err := h.Exists(x.path)
		if err != nil {
			return d, err
		}
		if there {
			d.Left = append(d.Left, x.what+" ("+x.path+")")
		}
	}
	return d, nil
}
