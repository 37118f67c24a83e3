package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

const (
	// stopTimeout bounds the wait for an apiserver to end: it ends requests first, for up to a minute.
	stopTimeout  = 3 * time.Minute
	stopInterval = 500 * time.Millisecond
)

// stopAPI takes the control plane's manifests away, so that nobody writes into etcd.
func stopAPI(ctx context.Context, env node.Env, spec Spec) (any, error) {
	h := env.Host
	if _, err := h.Mkdir(ctx, stoppedDir, 0o700, 0, 0); err != nil {
		return nil, err
	}
	names, err := staticPods(h, manifestsDir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := move(ctx, h, manifestsDir+"/"+name, stoppedDir+"/"+name, "the kubelet ends a static pod without its manifest"); err != nil {
			return nil, err
		}
	}
	if h.DryRun() {
		return Data{}, nil
	}
	env.Progress("waiting for the apiserver to end")
	err = host.Until(ctx, stopTimeout, stopInterval, func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", spec.APIAddress)
		if err != nil {
			return nil //nolint:nilerr // nobody listens any more
		}
		return errors.Join(fmt.Errorf("something listens on %s", spec.APIAddress), conn.Close())
	}, func(seen error) error {
		return host.WithHint(fmt.Errorf("the apiserver does not end within %v: %w", stopTimeout, seen), "does the kubelet run? Else stop the container by hand (crictl stop), then run the restore again")
	})
	return Data{Already: len(names) == 0}, err
}

// staticPods are the control plane's manifests in a directory.
func staticPods(h *host.Host, dir string) (names []string, err error) {
	entries, err := h.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "kube-") && path.Ext(e.Name()) == ".yaml" {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// swap exchanges the data. As long as there is something staged, it is not done; what was staged
// goes only when it is noted as done, so that data that somebody else has removed is not taken for
// data that was put into its place.
func swap(ctx context.Context, env node.Env, spec Spec) (any, error) {
	h := env.Host
	state, err := own(h, spec)
	if err != nil {
		return nil, err
	}
	if !state.Staged {
		return nil, fmt.Errorf("the snapshot is not staged here yet")
	}
	if state.Swapped {
		_, err := h.RemoveTree(ctx, spec.staged())
		return Data{Already: true}, err
	}
	if begun, err := h.Exists(spec.staged()); err != nil || !begun {
		return nil, errors.Join(err, errStagedGone)
	}
	if err := stopEtcd(ctx, env); err != nil {
		return nil, err
	}
	restored := spec.staged() + "/member"
	there, err := h.Exists(restored)
	if err != nil {
		return nil, err
	}
	if there {
		if err := putAside(ctx, h, spec.member(), spec.aside(), "etcd's data of before the restore"); err != nil {
			return nil, err
		}
		if err := move(ctx, h, restored, spec.member(), "the restored data is etcd's from here on"); err != nil {
			return nil, err
		}
	}
	state.Swapped = true
	if err := writeState(ctx, h, state); err != nil {
		return nil, err
	}
	_, err = h.RemoveTree(ctx, spec.staged())
	return Data{}, err
}

// errStagedGone is for a host whose staged data was removed by somebody since.
var errStagedGone = host.WithHint(errors.New("what was restored beside the data in use is gone"), "run the same command again: it restores it once more")

// putAside renames data, if there is any. When that name is taken, what is there now was made
// since, by an etcd that was started in between: it gets another name.
func putAside(ctx context.Context, h *host.Host, from, to, why string) error {
	there, err := h.Exists(from)
	if err != nil || !there {
		return err
	}
	free := to
	for n := 2; ; n++ {
		taken, err := h.Exists(free)
		if err != nil {
			return err
		}
		if !taken {
			break
		}
		free = fmt.Sprintf("%s.%d", to, n)
	}
	return move(ctx, h, from, free, why)
}

// asideOnly is for a member that is left out: it must not come back with its old data.
func asideOnly(ctx context.Context, env node.Env, spec Spec) (any, error) {
	if err := stopEtcd(ctx, env); err != nil {
		return nil, err
	}
	// Nor is it to be started at a boot, empty.
	if _, err := env.Host.StopUnit(ctx, etcdmember.UnitName, true); err != nil {
		return nil, err
	}
	return Data{}, putAside(ctx, env.Host, spec.member(), spec.aside(), "etcd's data of before the restore")
}

func stopEtcd(ctx context.Context, env node.Env) error {
	env.Progress("stopping etcd")
	if _, err := env.Host.StopUnit(ctx, etcdmember.UnitName, false); err != nil {
		return fmt.Errorf("stop etcd: %w", err)
	}
	return nil
}

// start does not wait: the unit counts as started only with a quorum.
func start(ctx context.Context, env node.Env) (any, error) {
	h := env.Host
	u, err := h.Unit(ctx, etcdmember.UnitName)
	if err != nil {
		return nil, err
	}
	if u.Active() {
		return Data{Already: true}, nil
	}
	if u.ActiveState == "failed" {
		if _, err := h.Run(ctx, "let etcd be started again", host.Command{Argv: []string{"systemctl", "reset-failed", etcdmember.UnitName}, Timeout: time.Minute}); err != nil {
			return nil, err
		}
	}
	_, err = h.Run(ctx, "start etcd with the restored data", host.Command{Argv: []string{"systemctl", "start", "--no-block", etcdmember.UnitName}, Timeout: time.Minute})
	return Data{}, err
}

// serve puts a manifest back.
func serve(ctx context.Context, env node.Env, names ...string) (any, error) {
	h, done := env.Host, true
	for _, name := range names {
		from, to := stoppedDir+"/"+name, manifestsDir+"/"+name
		stopped, err := h.Exists(from)
		if err != nil {
			return nil, err
		}
		// One that is there by now, such as of an upgrade's rollback, is newer.
		there, err := h.Exists(to)
		if err != nil {
			return nil, err
		}
		if !stopped || there {
			continue
		}
		done = false
		if err := move(ctx, h, from, to, "the kubelet starts the static pod again"); err != nil {
			return nil, err
		}
	}
	return Data{Already: done}, nil
}

// serveRest puts all manifests back, and restarts the kubelet: what it knows is newer than what
// the API has.
func serveRest(ctx context.Context, env node.Env) (any, error) {
	h := env.Host
	names, err := staticPods(h, stoppedDir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	if _, err := serve(ctx, env, names...); err != nil {
		return nil, err
	}
	u, err := h.Unit(ctx, kubeletUnit)
	if err != nil || u.LoadState == "not-found" {
		return Data{}, err // An etcd member that is no node.
	}
	_, err = h.Run(ctx, "have the kubelet read everything anew", host.Command{Argv: []string{"systemctl", "restart", kubeletUnit}, Timeout: time.Minute})
	return Data{}, err
}

// takeBack exchanges the data again. Nothing is deleted: what was restored is kept as well. Before
// anything is moved it is noted that nothing is restored here any more: one that is interrupted can
// be gone on with, or the restore begun anew.
func takeBack(ctx context.Context, env node.Env, spec Spec) (any, error) {
	h := env.Host
	state, err := readState(h)
	if err != nil {
		return nil, err
	}
	mine := state != nil && state.ID == spec.ID
	if mine && (state.Staged || state.Swapped) {
		state.Staged, state.Swapped = false, false
		if err := writeState(ctx, h, *state); err != nil {
			return nil, err
		}
	}
	there, err := h.Exists(spec.aside())
	if err != nil {
		return nil, err
	}
	if there {
		if err := stopEtcd(ctx, env); err != nil {
			return nil, err
		}
		if err := putAside(ctx, h, spec.member(), path.Join(spec.DataDir, "member.undone-"+spec.ID), "what a restore has made, which is taken back"); err != nil {
			return nil, err
		}
		if err := move(ctx, h, spec.aside(), spec.member(), "etcd's data of before the restore"); err != nil {
			return nil, err
		}
	}
	if _, err := h.RemoveTree(ctx, spec.staged()); err != nil {
		return nil, err
	}
	if _, err := h.EnableUnit(ctx, etcdmember.UnitName); err != nil {
		return nil, err
	}
	if mine {
		_, err = h.Remove(ctx, statePath)
	}
	return Data{Already: !there}, err
}
