package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
)

// rollback puts the kubelet back first, so that it never is newer than its
// apiserver, and then the static pods. Cut off, it is gone on with: by the next run, or by a
// boot. Whether a version may be gone back to is for the caller to know.
func (up upgrader) rollback(ctx context.Context, env node.Env, spec RollbackSpec) (any, error) {
	h, data := env.Host, Data{}
	if err := checkVersion(spec.Version); err != nil {
		return nil, err
	}
	if err := controlplane.WaitOther(ctx, env); err != nil {
		return nil, err
	}
	all, err := keptParts(h, spec.Version)
	if err != nil {
		return nil, err
	}
	if err := up.beginRollback(ctx, h, all); err != nil {
		return nil, err
	}
	serves, err := h.Exists(manifest(components[0]))
	if err != nil {
		return nil, err
	}
	// A kubelet that is too broken to say its version is none to be careful with.
	running, _ := kubeletVersion(ctx, h)
	if k, ok := all[kubeletPart]; ok {
		env.Progress("putting the kubelet of %s back", spec.Version)
		if data.Mended, err = takeBack(ctx, h, kubeletPart, k); err != nil {
			return data, err
		}
	}
	if k, ok := all[controlPlanePart]; ok {
		for _, file := range k.under(kubeletDir) {
			if _, err := k.putBack(ctx, h, file); err != nil {
				return data, err
			}
		}
	}
	if serves && otherMinor(running, spec.Version) {
		if err := up.endAPIServer(ctx, env); err != nil {
			return data, err
		}
	}
	if data.KubeletRestarted, err = up.startKubelet(ctx, env); err != nil {
		return data, err
	}
	if k, ok := all[controlPlanePart]; ok {
		env.Progress("putting the control plane of %s back", spec.Version)
		mended, err := k.takeBack(ctx, h)
		data.Mended = append(data.Mended, mended...)
		if err != nil {
			return data, err
		}
		if spec.LocalEndpoint != "" && !h.DryRun() {
			if err := controlplane.WaitLocal(ctx, env, spec.LocalEndpoint); err != nil {
				return data, err
			}
		}
	}
	data.Already = len(data.Mended) == 0 && !data.KubeletRestarted
	return data, endRollback(ctx, h, all)
}

// keptParts reads what was kept of a version, and makes sure that it is whole.
func keptParts(h *host.Host, version string) (map[part]kept, error) {
	all := map[part]kept{}
	for _, p := range []part{controlPlanePart, kubeletPart} {
		k, err := readKept(h, version, p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = k.whole(h)
		}
		if err != nil {
			return nil, err
		}
		all[p] = k
	}
	if len(all) > 0 {
		return all, nil
	}
	versions, err := listKept(h)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("nothing was kept on this host of %s, nor of any other version: it was not upgraded", version)
	}
	return nil, host.WithHint(fmt.Errorf("nothing was kept on this host of %s", version), "it can go back to "+strings.Join(versions, ", "))
}

// beginRollback notes that what is there is unfinished, and what it is to be.
func (up upgrader) beginRollback(ctx context.Context, h *host.Host, all map[part]kept) error {
	if err := up.guard(ctx, h); err != nil {
		return err
	}
	// A boot between the two must not leave the kubelet newer than its apiserver.
	for _, p := range []part{kubeletPart, controlPlanePart} {
		k, ok := all[p]
		if !ok {
			continue
		}
		m, err := readMark(h, p)
		if err != nil {
			return err
		}
		m.From, m.State = k.Version, begun
		if err := m.write(ctx, h, p); err != nil {
			return err
		}
	}
	return nil
}

func endRollback(ctx context.Context, h *host.Host, all map[part]kept) error {
	if h.DryRun() {
		return nil
	}
	for p := range all {
		m, err := readMark(h, p)
		if err != nil {
			return err
		}
		m.State = takenBack
		if err := m.write(ctx, h, p); err != nil {
			return err
		}
	}
	return unguard(ctx, h)
}
