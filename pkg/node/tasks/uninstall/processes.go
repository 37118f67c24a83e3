package uninstall

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// endWithin is what a process gets to end by itself.
const endWithin = 5 * time.Second

// endProcesses ends what is left over: programs of ours that no unit has any
// more, such as a container's shim, and everything in the cgroups of pods.
func (u *uninstaller) endProcesses(ctx context.Context) error {
	if u.h.DryRun() {
		return nil // Which are left over only shows when the units and pods are ended.
	}
	for _, hard := range []bool{false, true} {
		left, err := u.leftover()
		if err != nil || len(left) == 0 {
			return err
		}
		for _, p := range left {
			err := u.h.Do(ctx, host.ActionRemove, fmt.Sprintf("process %d", p.pid), "end "+p.name, func(context.Context) error { return u.kill(p.pid, hard || p.pod) })
			if err != nil {
				return fmt.Errorf("end the process %d (%s): %w", p.pid, p.name, err)
			}
		}
		if err := u.waitGone(ctx); err != nil {
			return err
		}
	}
	left, err := u.leftover()
	if err == nil && len(left) > 0 {
		err = host.WithHint(fmt.Errorf("the process %d (%s) does not end", left[0].pid, left[0].name),
			"it may wait for a disk or a server that is gone; when that is back, or after a reboot, run the command again")
	}
	return err
}

// waitGone waits until nothing is left over, or for so long that something is killed.
func (u *uninstaller) waitGone(ctx context.Context) error {
	deadline := time.NewTimer(endWithin)
	defer deadline.Stop()
	for {
		left, err := u.leftover()
		if err != nil || len(left) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline.C:
			return nil
		case <-time.After(pollInterval):
		}
	}
}

// process is one that is to end.
type process struct {
	pid  int
	name string
	// pod: it is a container's, which was asked to end before.
	pod bool
}

// leftover lists the processes that are to end.
func (u *uninstaller) leftover() ([]process, error) {
	entries, err := u.h.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	var out []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == 1 || slices.Contains(u.self, pid) {
			continue
		}
		// What can't be read has just ended, or is the kernel's.
		exe, _ := os.Readlink(u.h.Path("/proc/" + e.Name() + "/exe"))
		exe = strings.TrimSuffix(exe, " (deleted)")
		cgroups, _ := u.h.ReadFile("/proc/" + e.Name() + "/cgroup")
		switch {
		case exe == "":
		case u.kubernetes() && strings.Contains(string(cgroups), "/kubepods"):
			out = append(out, process{pid, path.Base(exe), true})
		case u.daemon(exe):
			out = append(out, process{pid, path.Base(exe), false})
		}
	}
	return out, nil
}

// daemon tells whether a program is one of ours that is not run by people.
func (u *uninstaller) daemon(exe string) bool {
	if exe == "" || strings.HasPrefix(exe, host.StateDir+"/") || strings.HasPrefix(exe, host.ProgramsRoot+"/") || path.Base(exe) == "kubectl" {
		return false
	}
	return slices.ContainsFunc(u.made, func(m host.Made) bool { return m.Kind == host.KindFile && m.Target == exe && m.Original == nil })
}
