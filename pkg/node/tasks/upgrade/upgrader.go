package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// controlPlaneKubeadm bounds kubeadm on a control plane, whose own waits are
	// shorter; workerKubeadm on another node, where it only writes files.
	controlPlaneKubeadm = 32 * time.Minute
	workerKubeadm       = 3 * time.Minute
)

// upgrader does the tasks; its fields are what tests change.
type upgrader struct {
	// program is this program's file.
	program string
	// kubeletReady bounds the wait for a kubelet that was restarted.
	kubeletReady time.Duration
	// endPod ends the host's apiserver in order, by the container runtime's socket.
	endPod func(ctx context.Context, socket string) error
	// beyond is a context for what is done when the task's own time is up.
	beyond func(context.Context) context.Context
}

// onHost is the upgrader outside of tests. The link is good also in a process that has
// left the pod its file is in.
func onHost() upgrader {
	return upgrader{program: host.SelfPath, kubeletReady: 2 * time.Minute, endPod: endPod, beyond: context.WithoutCancel}
}

// ControlPlane brings a control plane's static pods to a version.
func ControlPlane(ctx context.Context, env node.Env, spec ControlPlaneSpec) (any, error) {
	return onHost().controlPlane(ctx, env, spec)
}

// Kubelet brings a node's kubelet, kubeadm and kubectl to a version. A new
// kubelet that does not become healthy is replaced by the old one, without which nobody
// could bring the node anything any more.
func Kubelet(ctx context.Context, env node.Env, spec KubeletSpec) (any, error) {
	return onHost().kubelet(ctx, env, spec)
}

// Rollback makes a node what it was at a version that was kept.
func Rollback(ctx context.Context, env node.Env, spec RollbackSpec) (any, error) {
	return onHost().rollback(ctx, env, spec)
}

// Check tells whether a host has what its upgrade needs, and changes nothing.
func Check(ctx context.Context, env node.Env, spec CheckSpec) (any, error) {
	h := env.Host
	if err := checkVersion(spec.Version); err != nil {
		return nil, err
	}
	env.Progress("checking the binaries of %s", spec.Version)
	rel, err := openRelease(h, spec.Version)
	if err != nil {
		return nil, err
	}
	data := CheckData{Binaries: rel.sums}
	if err := checkPlace(h); err != nil {
		return nil, err
	}
	if data.Kubelet, err = kubeletVersion(ctx, h); err != nil {
		return nil, err
	}
	if data.Kubelet != spec.Version {
		if err := checkRoom(h, rel, host.FreeBytes); err != nil {
			return nil, err
		}
		if err := checkGates(h, spec.Version, spec.RemoveFeatureGates); err != nil {
			return nil, err
		}
	}
	versions, err := podVersions(h)
	if err != nil {
		return nil, err
	}
	data.ControlPlane = versions[components[0]]
	data.Kept, err = listKept(h)
	return data, err
}

// begin keeps what is about to change, has a boot take it back from here on, and
// only then notes that the part has begun.
func (up upgrader) begin(ctx context.Context, env node.Env, p part, m mark, files []string) (kept, error) {
	env.Progress("keeping what is there of %s", m.From)
	k, err := keep(ctx, env.Host, m.From, p, files)
	if err != nil {
		return k, err
	}
	if err := up.guard(ctx, env.Host); err != nil {
		return k, err
	}
	m.State = begun
	return k, m.write(ctx, env.Host, p)
}

// finish notes that a part's upgrade has ended well, and removes what was kept
// before the last one, with the binaries that were staged for it.
func finish(ctx context.Context, h *host.Host, p part, m mark) error {
	m.State = done
	if err := m.write(ctx, h, p); err != nil {
		return err
	}
	if err := unguard(ctx, h); err != nil {
		return err
	}
	entries, err := h.ReadDir(KeptDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == m.From {
			continue
		}
		if _, err := h.RemoveTree(ctx, keptDir(e.Name(), p)); err != nil {
			return err
		}
	}
	if p != kubeletPart || m.From == m.To {
		return nil
	}
	// The way back is what was kept; what was once staged is of no more use.
	_, err = h.RemoveTree(ctx, path.Join(ReleasesDir, m.From))
	return err
}

// settle makes durable what kubeadm wrote without waiting for the disk. Until
// then a loss of power may leave a file empty.
func settle(h *host.Host, files []string) error {
	synced := map[string]bool{}
	for _, file := range files {
		for _, name := range []string{file, path.Dir(file)} {
			if synced[name] {
				continue
			}
			synced[name] = true
			f, err := os.Open(h.Path(name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if err := errors.Join(f.Sync(), f.Close()); err != nil {
				return fmt.Errorf("write %s to disk: %w", name, err)
			}
		}
	}
	return nil
}
