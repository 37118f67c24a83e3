package upgrade

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
)

// admit refuses what would make a kubelet newer than its apiserver.
// https://kubernetes.io/releases/version-skew-policy/#kubelet
func (spec KubeletSpec) admit(h *host.Host) error {
	if err := checkVersion(spec.Version); err != nil {
		return err
	}
	versions, err := podVersions(h)
	switch {
	case err != nil:
		return err
	case !spec.ControlPlane && len(versions) > 0:
		return errors.New("this host is a control plane, it can't be upgraded as another node")
	case len(spec.Config) == 0:
		return errors.New("kubeadm upgrade: its configuration is missing")
	case spec.ControlPlane && !allAt(versions, spec.Version):
		return host.WithHint(fmt.Errorf("the kubelet is not brought to %s before the control plane on this host, whose static pods are at %v", spec.Version, versions),
			"upgrade the control plane first")
	}
	return nil
}

func (up upgrader) kubelet(ctx context.Context, env node.Env, spec KubeletSpec) (any, error) {
	h, data := env.Host, Data{}
	if err := spec.admit(h); err != nil {
		return nil, err
	}
	rel, err := openRelease(h, spec.Version)
	if err != nil {
		return nil, err
	}
	if err := controlplane.WaitOther(ctx, env); err != nil {
		return nil, err
	}
	m, k, resumed, err := unfinished(h, kubeletPart)
	if err != nil {
		return nil, err
	}
	installed, err := rel.installed(h)
	if err != nil {
		return nil, err
	}
	if installed && !resumed {
		data.KubeletRestarted, err = up.startKubelet(ctx, env)
		data.Already = !data.KubeletRestarted
		return data, errors.Join(err, unguard(ctx, h))
	}
	m.To = spec.Version
	if resumed {
		if err := up.resume(ctx, h, kubeletPart, m, k, &data); err != nil {
			return data, err
		}
	} else {
		if m.From, err = kubeletVersion(ctx, h); err != nil {
			return data, err
		}
		files, err := touched(h, kubeletPart, !spec.ControlPlane)
		if err != nil {
			return data, err
		}
		if k, err = up.begin(ctx, env, kubeletPart, m, files); err != nil {
			return data, err
		}
	}
	data.From = m.From
	// Whatever goes wrong from here on: nobody could bring the node anything any more.
	if data.KubeletRestarted, err = up.change(ctx, env, spec, rel, m); err != nil {
		return data, up.giveUp(ctx, env, m, k, err)
	}
	if h.DryRun() {
		return data, nil
	}
	return data, finish(ctx, h, kubeletPart, m)
}

// change puts the new kubelet in the place of the old one, and waits until it is well.
func (up upgrader) change(ctx context.Context, env node.Env, spec KubeletSpec, rel release, m mark) (restarted bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, changeTimeout, fmt.Errorf("it was not well within %s", changeTimeout))
	defer cancel()
	if err := spec.exchange(ctx, env, rel); err != nil {
		return false, err
	}
	if spec.ControlPlane && otherMinor(m.From, m.To) {
		if err := up.endAPIServer(ctx, env); err != nil {
			return false, err
		}
	}
	return up.startKubelet(ctx, env)
}

// exchange writes the kubelet's configuration and puts the binaries in place. On a
// control plane the configuration was written with the static pods, but a boot or
// a kubelet that was not well may have brought the old one back.
func (spec KubeletSpec) exchange(ctx context.Context, env node.Env, rel release) error {
	h := env.Host
	if err := controlplane.WritePatches(ctx, h, spec.Patches); err != nil {
		return err
	}
	run := controlplane.Kubeadm{Program: rel.path("kubeadm"), Why: "kubeadm upgrade node", Config: spec.Config,
		Args: []string{"upgrade", "node", "--config", "/dev/stdin"}, Timeout: workerKubeadm}
	if spec.ControlPlane {
		run.Args = []string{"upgrade", "node", "phase", "kubelet-config", "--config", "/dev/stdin"}
	}
	if err := run.Run(ctx, env); err != nil {
		return err
	}
	if spec.RemoveFeatureGates {
		if err := removeGates(ctx, h, rel.version); err != nil {
			return err
		}
	}
	if err := settle(h, kubeletFiles); err != nil {
		return err
	}
	env.Progress("putting the binaries of %s in place", rel.version)
	for _, name := range binaries {
		want, listed := rel.sums[name]
		if !listed {
			continue
		}
		f := host.File{Path: path.Join(binDir, name), Mode: 0o755, Note: "kubernetes " + rel.version}
		if _, err := h.InstallFile(ctx, f, want, opener(h, rel.path(name))); err != nil {
			return err
		}
	}
	return nil
}

const (
	// changeTimeout bounds what is done until the new kubelet is well.
	changeTimeout = 8 * time.Minute
	// giveUpTimeout bounds the way back.
	giveUpTimeout = 3 * time.Minute
)

// giveUp puts the old kubelet back when the new one does not get well, or can't be put in its
// place, also when the task's own time is up. The cause stays the failure. Only who has lost
// the client begins nothing more: the next run goes on.
func (up upgrader) giveUp(ctx context.Context, env node.Env, m mark, k kept, cause error) error {
	if errors.Is(context.Cause(ctx), node.ErrClientGone) || errors.Is(cause, node.ErrClientGone) || env.Host.DryRun() {
		return cause
	}
	ctx, cancel := context.WithTimeoutCause(up.beyond(ctx), giveUpTimeout, fmt.Errorf("it took longer than %s", giveUpTimeout))
	defer cancel()
	env.Progress("the kubelet of %s is not well; putting back that of %s", m.To, m.From)
	_, back := takeBack(ctx, env.Host, kubeletPart, k)
	if back == nil {
		_, back = up.startKubelet(ctx, env)
	}
	if back == nil {
		m.State = takenBack
		back = errors.Join(m.write(ctx, env.Host, kubeletPart), unguard(ctx, env.Host))
	}
	f := failure(cause)
	f.Hint = "the output is of the new kubelet; find out what it lacks, then resume the operation"
	if back != nil {
		f.Message = fmt.Sprintf("the kubelet of %s: %s; and that of %s can't be put back: %v", m.To, f.Message, m.From, back)
		return &f
	}
	f.Message = fmt.Sprintf("the kubelet of %s: %s; that of %s runs again", m.To, f.Message, m.From)
	return &f
}

// failure is an error for people, with the output of what failed.
func failure(err error) node.Failure {
	var whole *node.Failure
	if errors.As(err, &whole) {
		return *whole
	}
	f := node.Failure{Message: err.Error()}
	var command *host.CommandError
	if errors.As(err, &command) {
		f.Output = command.Text()
	}
	return f
}
