package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
)

const (
	unitDir = "/etc/systemd/system/"
	// mark is in every path that is kubectl-ha's alone, whatever made it.
	mark = "kubectl-ha"
)

// Run takes it off. On a host with nothing of kubectl-ha it changes nothing; one that bootstrap
// made is refused, since uninstall is for that.
func Run(ctx context.Context, env node.Env, _ Spec) (any, error) {
	return run(ctx, env, func(ctx context.Context, refs []string) ([]ctrd.Removal, error) {
		return ctrd.RemoveImages(ctx, prepare.Socket, refs, refs)
	})
}

// remover removes images from containerd; those that a container uses stay.
type remover func(ctx context.Context, refs []string) ([]ctrd.Removal, error)

func run(ctx context.Context, env node.Env, images remover) (any, error) {
	h := env.Host
	ledger, err := h.Ledger()
	if errors.Is(err, fs.ErrNotExist) {
		return Data{Bare: true}, nil
	}
	if err != nil {
		return nil, err
	}
	if slices.Contains(ledger.DoneTasks(), tasks.Prepare) {
		return nil, host.WithHint(errors.New("bootstrap has made this host part of the cluster; there is nothing to release it to"),
			"kubectl ha node remove and kubectl ha uninstall take such a host out")
	}
	var data Data
	made := ledger.Made()
	if err := settled(h, made); err != nil {
		return nil, err
	}
	if data.Backups, err = backups(h); err != nil {
		return nil, err
	}
	if data.Images, err = removeImages(ctx, env, made, images); err != nil {
		return data, err
	}
	if _, err := h.StopUnit(ctx, upgrade.BackTimer, false); err != nil {
		return data, err
	}
	for _, m := range slices.Backward(made) {
		kept, err := takeBack(ctx, h, m)
		if err != nil {
			return data, err
		}
		if kept {
			data.Kept = append(data.Kept, m.Target)
		}
	}
	slices.Sort(data.Kept)
	env.Progress("removing %s", host.StateDir)
	return data, h.Forget(ctx)
}

// settled refuses a host on which an upgrade of the node is unfinished: what would take it back
// at the next boot would be gone.
func settled(h *host.Host, made []host.Made) error {
	if slices.ContainsFunc(made, func(m host.Made) bool { return m.Target == unitDir+"kubectl-ha-mend.service" }) {
		if there, err := h.Exists(unitDir + "kubectl-ha-mend.service"); err != nil || there {
			return errors.Join(err, host.WithHint(errors.New("an upgrade of this host is unfinished"), "kubectl ha operation resume or abort ends it"))
		}
	}
	return nil
}

func backups(h *host.Host) (int, error) {
	entries, err := h.ReadDir(backup.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("count the backups on the host: %w", err)
	}
	return len(slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() })), nil
}

// removeImages removes the agent's own images. Others that were pushed are what nodes run.
func removeImages(ctx context.Context, env node.Env, made []host.Made, images remover) (int, error) {
	var refs []string
	for _, m := range made {
		if m.Kind == "image" && isAgent(m.Target) && !slices.Contains(refs, m.Target) {
			refs = append(refs, m.Target)
		}
	}
	there, err := env.Host.Exists(prepare.Socket)
	if err != nil || !there || len(refs) == 0 {
		return 0, err
	}
	err = env.Host.Do(ctx, host.ActionRemove, fmt.Sprintf("the agent's images in containerd (%d)", len(refs)), "no registry has them", func(ctx context.Context) error {
		return host.Until(ctx, containersGone, time.Second, func(ctx context.Context) error {
			return removeUnused(ctx, env, refs, images)
		}, func(seen error) error { return seen })
	})
	return len(refs), err
}

// containersGone bounds the wait for the containers of pods that were deleted: the kubelet removes
// them when it collects garbage, once a minute.
// https://kubernetes.io/docs/concepts/architecture/garbage-collection/#container-image-garbage-collection
const containersGone = 3 * time.Minute

func removeUnused(ctx context.Context, env node.Env, refs []string, images remover) error {
	removals, err := images(ctx, refs)
	for _, r := range removals {
		if r.Kept != "" {
			env.Progress("waiting for the kubelet to remove containers of pods that are gone")
			err = errors.Join(err, host.WithHint(fmt.Errorf("the image %s stays: %s", r.Ref, r.Kept), "delete the pod that uses it, and run the command again"))
		}
	}
	return err
}

func isAgent(ref string) bool {
	return strings.HasPrefix(ref, bundle.AgentRepository+":") || strings.HasPrefix(ref, bundle.AgentRepository+"@") ||
		strings.HasPrefix(ref, bundle.FormerAgentRepository+":") || strings.HasPrefix(ref, bundle.FormerAgentRepository+"@")
}

// takeBack removes one thing that is kubectl-ha's alone; kept says that it is the cluster's by
// now, and stays.
func takeBack(ctx context.Context, h *host.Host, m host.Made) (kept bool, err error) {
	switch {
	case m.Target == host.StateDir || strings.HasPrefix(m.Target, host.StateDir+"/"):
		return false, nil // It goes as a whole.
	case m.Kind == "image":
		return false, nil // The agent's are gone, and others are what nodes run.
	case (m.Kind == host.KindDirectory || m.Kind == host.KindEmptyDirectory) && !m.Whole && m.Original == nil:
		_, _, err := h.RestoreDirectory(ctx, m) // When nothing is in it.
		return false, err
	case !strings.Contains(m.Target, mark):
		there, err := h.Exists(m.Target)
		return there && err == nil && m.Kind != host.KindUnit, err
	}
	switch m.Kind {
	case host.KindFile, host.KindLink:
		if path.Dir(m.Target)+"/" == unitDir {
			if _, err := h.StopUnit(ctx, path.Base(m.Target), true); err != nil {
				return false, err
			}
		}
		_, err = h.RestoreFile(ctx, m)
	case host.KindDirectory, host.KindEmptyDirectory:
		_, _, err = h.RestoreDirectory(ctx, m)
	}
	return false, err
}
