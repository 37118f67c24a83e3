package uninstall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
)

const (
	runtimeReady = 30 * time.Second
	podsTimeout  = 2 * time.Minute
	pollInterval = 200 * time.Millisecond
)

// endPods ends the kubelet's pods through the container runtime, which takes down
// their networks as well. What it can't end is ended as processes later.
func (u *uninstaller) endPods(ctx context.Context) error {
	if !u.ours(kubeletUnit) {
		return nil
	}
	running, err := u.runtimeUp(ctx)
	if err != nil || !running {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, podsTimeout, fmt.Errorf("it took longer than %s", podsTimeout))
	defer cancel()
	pods, err := u.pods(ctx)
	if err != nil {
		u.warn("the pods can't be ended in order, their processes are killed: %v", err)
		return nil
	}
	if len(pods) == 0 {
		return nil
	}
	err = u.h.Do(ctx, host.ActionRemove, fmt.Sprintf("%d pods", len(pods)), "end them with their networks", func(ctx context.Context) error {
		return u.removePods(ctx, pods, u.spec.Grace)
	})
	if err != nil {
		u.warn("not all pods ended in order, their processes are killed: %v", err)
	}
	u.data.Pods = len(pods)
	return nil
}

// runtimeUp tells whether the container runtime answers; ours is started for it,
// since without it nobody knows the pods' networks.
func (u *uninstaller) runtimeUp(ctx context.Context) (bool, error) {
	unit, err := u.h.Unit(ctx, containerdUnit)
	if err != nil || unit.LoadState != "loaded" {
		return false, err
	}
	if u.h.DryRun() {
		return unit.Active(), nil
	}
	if !unit.Active() {
		if needed, err := u.anythingLeft(); err != nil || !needed || !u.ours(containerdUnit) {
			return false, err
		}
		if _, err := u.h.Run(ctx, "to end the pods in order", host.Command{Argv: []string{"systemctl", "start", containerdUnit}, Timeout: time.Minute}); err != nil {
			u.warn("containerd does not start, the pods' processes are killed: %v", err)
			return false, nil
		}
	}
	wait, cancel := context.WithTimeout(ctx, runtimeReady)
	defer cancel()
	for {
		if err = u.ready(wait); err == nil {
			return true, nil
		}
		select {
		case <-wait.Done():
			if ctx.Err() != nil {
				return false, context.Cause(ctx)
			}
			u.warn("containerd does not answer, the pods' processes are killed: %v", err)
			return false, nil
		case <-time.After(pollInterval):
		}
	}
}

// anythingLeft tells whether pods have left anything that the container runtime
// would know how to end.
func (u *uninstaller) anythingLeft() (bool, error) {
	processes, err := u.leftover()
	if err != nil || len(processes) > 0 {
		return len(processes) > 0, err
	}
	mounts, err := u.podMounts()
	return len(mounts) > 0, err
}

// stopContainerd ends the container runtime when it is ours. One that was there
// before gives back our images, and its configuration is put back later.
func (u *uninstaller) stopContainerd(ctx context.Context) error {
	if u.ours(containerdUnit) {
		return u.stop(ctx, containerdUnit)
	}
	var refs []string
	for _, m := range u.made {
		if m.Kind == "image" {
			refs = append(refs, m.Target)
		}
	}
	if len(refs) == 0 {
		return nil
	}
	there, err := u.h.Exists(prepare.Socket)
	if err != nil || !there {
		return err
	}
	return u.h.Do(ctx, host.ActionRemove, fmt.Sprintf("%d images in containerd", len(refs)), "containerd itself stays", func(ctx context.Context) error {
		removals, err := u.removeImages(ctx, refs)
		for _, r := range removals {
			if r.Kept != "" {
				u.data.Left = append(u.data.Left, "image "+r.Ref+": "+r.Kept)
			}
		}
		return err
	})
}

// restartForeign has a containerd that is not ours read the configuration that
// was put back: now, or by a run that did not get to the restart.
func (u *uninstaller) restartForeign(ctx context.Context, now bool) error {
	if _, err := u.h.LookPath("containerd"); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unit, err := u.h.Unit(ctx, containerdUnit)
	if err != nil || !unit.Active() || !now && !u.h.Stale(unit, containerdConfig, path.Dir(containerdConfig)) {
		return err
	}
	_, err = u.h.Run(ctx, "have containerd read its own configuration again", host.Command{Argv: []string{"systemctl", "restart", containerdUnit}, Timeout: time.Minute})
	return err
}
