package join

import (
	"context"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/lent"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	// uploadTimeout is longer than kubeadm asks an API server that does not answer.
	uploadTimeout  = 4 * time.Minute
	promoteTimeout = 6 * time.Minute
	// stackedTimeout is that of a promotion that adds a member to etcd, which has to get all data.
	stackedTimeout = 20 * time.Minute
	// lostRetries is how often a task is begun anew when its node went away: all
	// of them are idempotent.
	lostRetries = 3
)

// Definition is the Join Operation.
func Definition() engine.Definition {
	return engine.Definition{
		Plan: func(ctx context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			o, err := Observe(ctx, env.Clients, env.Cluster)
			if err != nil {
				return nil, err
			}
			return Plan(env.Operation, env.Cluster, o)
		},
		Steps: map[string]engine.Step{
			stepNetwork:      engine.Func{Do: applyNetwork, Timeout: 2 * time.Minute},
			stepUploadCerts:  engine.NodeTask{Request: uploadCerts, LostRetries: lostRetries},
			stepPromote:      engine.NodeTask{Request: promote, LostRetries: lostRetries},
			stepKubeProxy:    engine.Func{Do: fixKubeProxy},
			stepClusterInfo:  engine.Func{Do: fixClusterInfo, Timeout: time.Minute},
			stepLabels:       engine.Func{Do: label},
			stepNodesReady:   engine.Func{Do: nodesReady, Gate: true},
			stepCoreDNS:      engine.Func{Do: setCoreDNS, Timeout: time.Minute},
			stepCoreDNSReady: engine.Func{Do: coreDNSReady, Gate: true},
			stepCleanUp:      engine.Func{Do: cleanUp, Timeout: time.Minute},
		},
		End: lent.End,
	}
}

// The settings that kubeadm's upgrade may overwrite, in the order in which they
// are made. Each looks first and changes nothing when all is well.
const (
	SettingKubeProxy    = stepKubeProxy
	SettingClusterInfo  = stepClusterInfo
	SettingCoreDNS      = stepCoreDNS
	SettingCoreDNSReady = stepCoreDNSReady
)

// Settings are the steps that make those settings again.
func Settings() map[string]engine.Step {
	all := Definition().Steps
	out := map[string]engine.Step{}
	for _, name := range []string{SettingKubeProxy, SettingClusterInfo, SettingCoreDNS, SettingCoreDNSReady} {
		out[name] = all[name]
	}
	return out
}

func uploadCerts(ctx context.Context, t engine.Turn) (node.Request, error) {
	s, err := makeSecrets(ctx, t)
	if err != nil {
		return node.Request{}, err
	}
	if err := allowToken(ctx, t, s.token); err != nil {
		return node.Request{}, err
	}
	h, ok := t.Cluster.Host(t.Step.Node)
	if !ok {
		return node.Request{}, fmt.Errorf("the stored Cluster document has no host %s", t.Step.Node)
	}
	config, err := kubeadm.UploadCerts(t.Cluster, h, s.certificateKey)
	if err != nil {
		return node.Request{}, err
	}
	return node.NewRequest(tasks.UploadCerts, uploadTimeout, controlplane.UploadCertsSpec{Config: config, Stacked: t.Cluster.Stacked()})
}

func promote(ctx context.Context, t engine.Turn) (node.Request, error) {
	h, ok := t.Cluster.Host(t.Step.Node)
	if !ok {
		return node.Request{}, fmt.Errorf("the stored Cluster document has no host %s", t.Step.Node)
	}
	waiting, cancel := context.WithTimeoutCause(ctx, promoteTimeout, fmt.Errorf("not there within %s; see the kubelet's log on %s", promoteTimeout, h.Name))
	defer cancel()
	if _, err := awaitNode(waiting, t, h.Name); err != nil {
		return node.Request{}, err
	}
	s, err := readSecrets(ctx, t)
	if err != nil {
		return node.Request{}, err
	}
	if err := allowToken(ctx, t, s.token); err != nil {
		return node.Request{}, err
	}
	if err := awaitSignature(ctx, t, s.token); err != nil {
		return node.Request{}, err
	}
	ca, err := clusterCA(ctx, t.Clients.Kube)
	if err != nil {
		return node.Request{}, err
	}
	hash, err := pki.CertHash(ca)
	if err != nil {
		return node.Request{}, fmt.Errorf("the cluster's CA: %w", err)
	}
	config, err := kubeadm.Promote(t.Cluster, kubeadm.JoinParams{
		Host: h, Token: s.token, CertificateKey: s.certificateKey, CACertHash: hash, PatchesDir: patchesDir(t.Cluster),
	})
	if err != nil {
		return node.Request{}, err
	}
	spec := controlplane.PromoteSpec{
		Config: config, Patches: t.Cluster.Spec.Kubeadm.Patches,
		LocalEndpoint: t.Cluster.APIServerURL(h.Address),
	}
	timeout := promoteTimeout
	if t.Cluster.Stacked() {
		spec.Stacked, timeout = stackedMember(t.Cluster, h), stackedTimeout
	}
	return node.NewRequest(tasks.Promote, timeout, spec)
}

// stackedMember is the member of kubeadm's own etcd on a host that becomes a control plane.
func stackedMember(c *v1alpha1.Cluster, h v1alpha1.Host) *etcdmember.Stacked {
	out := &etcdmember.Stacked{Name: h.Name, Address: h.Address, DataDir: c.Spec.Etcd.DataDir, Members: map[string]string{}}
	for _, m := range c.EtcdMembers() {
		if m.Name != h.Name {
			out.Members[m.Name] = m.Address
		}
	}
	return out
}

// patchesDir is where the task puts kubeadm's patch files; empty without any.
func patchesDir(c *v1alpha1.Cluster) string {
	if len(c.Spec.Kubeadm.Patches) == 0 {
		return ""
	}
	return controlplane.PatchesDir
}
