package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
)

func (spec ControlPlaneSpec) validate() error {
	if err := checkVersion(spec.Version); err != nil {
		return err
	}
	if len(spec.Config) == 0 {
		return errors.New("kubeadm upgrade: its configuration is missing")
	}
	if !strings.HasPrefix(spec.LocalEndpoint, "https://") {
		return fmt.Errorf("kubeadm upgrade: %q is not the URL of an apiserver", spec.LocalEndpoint)
	}
	return nil
}

func (up upgrader) controlPlane(ctx context.Context, env node.Env, spec ControlPlaneSpec) (any, error) {
	h, data := env.Host, Data{}
	if err := spec.validate(); err != nil {
		return nil, err
	}
	rel, err := openRelease(h, spec.Version)
	if err != nil {
		return nil, err
	}
	// One that an agent left behind when it was ended may still be changing files.
	if err := controlplane.WaitOther(ctx, env); err != nil {
		return nil, err
	}
	m, k, resumed, err := unfinished(h, controlPlanePart)
	if err != nil {
		return nil, err
	}
	versions, err := podVersions(h)
	if err != nil {
		return nil, err
	}
	if !resumed && allAt(versions, spec.Version) && (m.State == done && m.To == spec.Version || m.State == "" && !spec.First) {
		data.Already = true
		return data, errors.Join(unguard(ctx, h), controlplane.WaitLocal(ctx, env, spec.LocalEndpoint))
	}
	if resumed {
		m.To = spec.Version
		if err := up.resume(ctx, h, controlPlanePart, m, k, &data); err != nil {
			return data, err
		}
	} else if m, err = up.beginControlPlane(ctx, env, spec, versions); err != nil {
		return data, err
	}
	data.From = m.From
	if err := spec.kubeadm(ctx, env, rel); err != nil || h.DryRun() {
		return data, err
	}
	if err := controlplane.WaitLocal(ctx, env, spec.LocalEndpoint); err != nil {
		return data, err
	}
	if err := DropEtcdCopies(ctx, h); err != nil {
		return data, err
	}
	return data, finish(ctx, h, controlPlanePart, m)
}

// beginControlPlane refuses a host whose static pods are not all there: kubeadm
// would take it for a worker, and leave them as they are.
func (up upgrader) beginControlPlane(ctx context.Context, env node.Env, spec ControlPlaneSpec, versions map[string]string) (mark, error) {
	m := mark{From: versions[components[0]], To: spec.Version}
	for _, c := range components {
		if versions[c] == "" {
			return m, host.WithHint(fmt.Errorf("the version of %s can't be told from %s", c, manifest(c)),
				"this is no control plane of kubeadm's, or the file is gone: put it back from a backup")
		}
	}
	if err := checkVersion(m.From); err != nil {
		return m, fmt.Errorf("%s: %w", manifest(components[0]), err)
	}
	files, err := touched(env.Host, controlPlanePart, false)
	if err != nil {
		return m, err
	}
	_, err = up.begin(ctx, env, controlPlanePart, m, files)
	return m, err
}

// kubeadm runs the upgrade with the kubeadm of the new version, and looks at what
// came of it.
func (spec ControlPlaneSpec) kubeadm(ctx context.Context, env node.Env, rel release) error {
	h := env.Host
	if err := controlplane.WritePatches(ctx, h, spec.Patches); err != nil {
		return err
	}
	run := controlplane.Kubeadm{Program: rel.path("kubeadm"), Why: "kubeadm upgrade node", Config: spec.Config,
		Args: []string{"upgrade", "node", "--config", "/dev/stdin"}, Timeout: controlPlaneKubeadm}
	if spec.First {
		run.Why, run.Args = "kubeadm upgrade apply", []string{"upgrade", "apply", "--config", "/dev/stdin", "--yes"}
	}
	if err := run.Run(ctx, env); err != nil || h.DryRun() {
		return err
	}
	files, err := touched(h, controlPlanePart, false)
	if err != nil {
		return err
	}
	if err := settle(h, files); err != nil {
		return err
	}
	versions, err := podVersions(h)
	if err != nil {
		return err
	}
	if !allAt(versions, spec.Version) {
		return host.WithHint(fmt.Errorf("%s ended well, but the static pods are not all at %s: %v", run.Why, spec.Version, versions),
			"look at the ConfigMap kubeadm-config in kube-system, whose kubernetesVersion kubeadm upgrade node goes by")
	}
	return nil
}
