package controlplane

import (
	"context"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// JoinNode joins the host to the cluster as a plain node. A node that has joined is
// left as it is; that it becomes Ready is not waited for, since the network
// plugin may come later.
func JoinNode(ctx context.Context, env node.Env, spec JoinNodeSpec) (any, error) {
	h := env.Host
	finished, err := workJoin.finished(h)
	if err != nil {
		return nil, err
	}
	if !finished {
		if err := join(ctx, env, spec); err != nil {
			return nil, err
		}
	}
	if h.DryRun() {
		return nil, nil
	}
	ok, why, err := bootstrapped(h, time.Now())
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, host.WithHint(fmt.Errorf("this host joined the cluster, but %s", why),
			"take the node out of the cluster and add it again; journalctl -u kubelet on the host tells more")
	}
	if err := endBootstrap(ctx, h); err != nil {
		return nil, err
	}
	if finished {
		return nil, nil
	}
	if err := waitRegistered(ctx, env); err != nil {
		return nil, err
	}
	return nil, workJoin.finish(ctx, h)
}

// join runs kubeadm join, for the first time or to end what was begun.
func join(ctx context.Context, env node.Env, spec JoinNodeSpec) error {
	h := env.Host
	if err := KeepKubelet(ctx, h); err != nil {
		return err
	}
	begun, err := workJoin.start(ctx, h, kubeletFiles, kubeletConf, bootstrapConf, caCert, apiserverManifest)
	if err != nil {
		return err
	}
	if err := writePatches(ctx, h, spec.Patches); err != nil {
		return err
	}
	var ignore []string
	if begun {
		if err := WaitOther(ctx, env); err != nil {
			return err
		}
		joined, left, err := resumeJoin(ctx, h)
		if err != nil || joined {
			return err
		}
		ignore = left
	}
	args := append([]string{"join"}, fromStdin...)
	return kubeadm(ctx, env, "kubeadm join", spec.Config, ignoring(args, ignore)...)
}

// resumeJoin finds out how far an unfinished join got. Once the kubelet has its
// own certificate the node is a member of the cluster, and kubeadm would refuse
// to join it again. Before that kubeadm runs again: the kubelet is stopped
// first, so that it does not join in the meantime, and the preflight checks that
// fail for our own files are returned.
func resumeJoin(ctx context.Context, h *host.Host) (joined bool, ignore []string, err error) {
	if joined, _, err = bootstrapped(h, time.Now()); err != nil || joined {
		return joined, nil, err
	}
	if _, err := h.StopUnit(ctx, kubeletUnit, false); err != nil {
		return false, nil, err
	}
	if joined, _, err = bootstrapped(h, time.Now()); err != nil || joined {
		return joined, nil, err
	}
	// kubeadm keeps a CA file that is there, even an empty one.
	good, there, err := readPEM(h, caCert)
	if err != nil {
		return false, nil, err
	}
	if there && !good {
		if _, err := h.Remove(ctx, caCert); err != nil {
			return false, nil, err
		}
	}
	for _, path := range []string{kubeletConf, bootstrapConf, caCert} {
		there, err := h.Exists(path)
		if err != nil {
			return false, nil, err
		}
		if there {
			ignore = append(ignore, availableCheck(path))
		}
	}
	return false, ignore, nil
}

// endBootstrap makes sure that the kubelet runs, now and after a boot, and that
// the token with which it joined does not stay on the disk.
func endBootstrap(ctx context.Context, h *host.Host) error {
	if _, err := h.EnsureUnit(ctx, kubeletUnit, false); err != nil {
		return err
	}
	_, err := h.Remove(ctx, bootstrapConf)
	return err
}
