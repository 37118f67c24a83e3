package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

// Promote makes a control plane of a node that has joined, by kubeadm's own
// phases, and ends when its apiserver is ready. Each phase may be repeated: the
// certificates that all share are fetched again, own ones are kept.
func Promote(ctx context.Context, env node.Env, spec PromoteSpec) (any, error) {
	return promoteWith(ctx, env, spec, etcdmember.Stacked.Enter)
}

// enter looks at etcd before kubeadm adds this host to it.
type enter func(etcdmember.Stacked, context.Context, node.Env) error

func promoteWith(ctx context.Context, env node.Env, spec PromoteSpec, mayEnter enter) (any, error) {
	h := env.Host
	virtual, err := discoveryEndpoint(spec.Config)
	if err != nil {
		return nil, err
	}
	finished, err := workPromote.once(h, func() error { return promote(ctx, env, spec, virtual, mayEnter) })
	if err != nil {
		return nil, err
	}
	if h.DryRun() && !finished {
		return nil, nil
	}
	if err := WaitLocal(ctx, env, spec.LocalEndpoint); err != nil {
		return nil, err
	}
	env.Progress("pointing the kubelet at its own apiserver")
	if _, err := pointKubelet(ctx, h, spec.LocalEndpoint); err != nil {
		return nil, err
	}
	if err := audit(h, spec.LocalEndpoint, virtual); err != nil {
		return nil, err
	}
	if finished {
		return nil, nil
	}
	args := append([]string{"join", "phase", "control-plane-join", "all"}, fromStdin...)
	if err := kubeadm(ctx, env, "kubeadm join phase control-plane-join", spec.Config, args...); err != nil {
		return nil, err
	}
	return nil, workPromote.finish(ctx, h)
}

// promote runs the phase that fetches and makes certificates, kubeconfigs and
// manifests. The kubelet starts what the manifests say. With stacked etcd it then makes the host's member
// one of etcd's, for which the apiserver waits meanwhile: in kubeadm's own order.
func promote(ctx context.Context, env node.Env, spec PromoteSpec, api string, mayEnter enter) error {
	h := env.Host
	if ok, why, err := bootstrapped(h, time.Now()); err != nil {
		return err
	} else if !ok && !h.DryRun() {
		return host.WithHint(fmt.Errorf("this host has not joined the cluster: %s", why), "run kubectl ha bootstrap again, which joins it")
	}
	if first, err := workInit.begun(h); err != nil || first {
		return errors.Join(err, errors.New("this host is the first control plane, there is nothing to promote"))
	}
	begun, err := workPromote.start(ctx, h, controlPlaneFiles(spec.Stacked != nil), apiserverManifest, adminConf)
	if err != nil {
		return err
	}
	if err := WaitOther(ctx, env); err != nil {
		return err
	}
	if err := tidy(ctx, h, false, spec.Stacked != nil); err != nil {
		return err
	}
	if spec.Stacked != nil {
		if _, err := ownEtcd(ctx, h, *spec.Stacked, begun); err != nil {
			return err
		}
	}
	if err := writePatches(ctx, h, spec.Patches); err != nil {
		return err
	}
	args := append([]string{"join", "phase", "control-plane-prepare", "all"}, fromStdin...)
	if err := kubeadm(ctx, env, "kubeadm join phase control-plane-prepare", spec.Config, args...); err != nil {
		return err
	}
	if err := signWithOne(ctx, h); err != nil {
		return err
	}
	if err := showChain(ctx, h, api); err != nil || spec.Stacked == nil {
		return err
	}
	return joinEtcd(ctx, env, *spec.Stacked, spec.Config, mayEnter)
}
