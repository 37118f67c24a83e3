package certs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	kubeletUnit = "kubelet.service"
	// againTimeout bounds the wait until the kubelet has begun a static pod's program anew.
	againTimeout  = 2 * time.Minute
	againInterval = 200 * time.Millisecond
	// ticks are how many a second has in /proc/PID/stat: USER_HZ, which is the same everywhere.
	ticks = 100
)

// restart has a program begin anew that was started before its files last changed. One that
// does not run is begun anew anyway, by whoever starts it.
func restart(ctx context.Context, env node.Env, program string, files []string) (bool, error) {
	return restartBy(ctx, env, program, files, terminate)
}

// terminate asks a process to end. One that is gone is no error.
func terminate(pid string) error {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	p, err := os.FindProcess(n)
	if err != nil {
		return err
	}
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func restartBy(ctx context.Context, env node.Env, program string, files []string, end func(pid string) error) (bool, error) {
	h := env.Host
	var changed time.Time
	for _, f := range files {
		info, err := os.Stat(h.Path(f)) // What a link points to counts.
		if err != nil {
			return false, err
		}
		// The link's own change counts as well: it may have been pointed at an older file.
		link, err := h.Stat(f)
		if err != nil {
			return false, err
		}
		for _, t := range []time.Time{info.ModTime(), link.ModTime()} {
			if t.After(changed) {
				changed = t
			}
		}
	}
	if program == kubeletProgram {
		return restartKubelet(ctx, env, changed)
	}
	old, err := running(h, program, changed)
	if err != nil || len(old) == 0 {
		return false, err
	}
	env.Progress("restarting %s", program)
	for _, pid := range old {
		// The kubelet starts the container again at once, as it does after any end.
		if err := h.Do(ctx, host.ActionRun, "process "+pid, "have "+program+" read its new certificate", func(context.Context) error { return end(pid) }); err != nil {
			return false, err
		}
	}
	if h.DryRun() {
		return true, nil
	}
	return true, host.Until(ctx, againTimeout, againInterval, func(context.Context) error {
		all, err := running(h, program, time.Time{})
		if err != nil {
			return err
		}
		left := slices.DeleteFunc(slices.Clone(all), func(pid string) bool { return !slices.Contains(old, pid) })
		switch {
		case len(left) > 0:
			return fmt.Errorf("the former one still runs (process %s)", strings.Join(left, ", "))
		case len(all) == 0:
			return errors.New("it does not run again yet")
		}
		return nil
	}, func(seen error) error {
		return host.WithHint(fmt.Errorf("%s was not begun anew within %v: %w", program, againTimeout, seen), "look at journalctl -u kubelet and /var/log/pods on the host")
	})
}

func restartKubelet(ctx context.Context, env node.Env, changed time.Time) (bool, error) {
	u, err := env.Host.Unit(ctx, kubeletUnit)
	if err != nil {
		return false, err
	}
	if u.LoadState == "not-found" {
		return false, nil
	}
	return env.Host.EnsureUnit(ctx, kubeletUnit, u.Active() && u.Started.Before(changed))
}

// revive restarts the kubelet of a control plane whose apiserver does not run. One that ended
// for want of a certificate is begun again after longer and longer pauses, of five minutes in
// the end; a kubelet that begins anew knows nothing of that.
func revive(ctx context.Context, env node.Env, data *Data) error {
	h := env.Host
	there, err := h.Exists(apiserverManifest)
	if err != nil || !there || len(data.Renewed) == 0 {
		return err
	}
	all, err := running(h, "kube-apiserver", time.Time{})
	if err != nil || len(all) > 0 {
		return err
	}
	env.Progress("restarting the kubelet, so that it begins the apiserver at once")
	if _, err := h.EnsureUnit(ctx, kubeletUnit, true); err != nil {
		return err
	}
	data.Restarted = append(data.Restarted, "kubelet")
	return nil
}

// running are the processes of a program that were started before a moment, or about then;
// all of them for the zero time.
func running(h *host.Host, program string, before time.Time) ([]string, error) {
	boot, err := booted(h)
	if err != nil {
		return nil, err
	}
	entries, err := h.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", program, err)
	}
	var out []string
	for _, e := range entries {
		if name := e.Name(); name[0] < '1' || name[0] > '9' {
			continue
		}
		line, err := h.ReadFile(path.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue // It has ended since.
		}
		first, _, _ := strings.Cut(string(line), "\x00")
		if path.Base(first) != program {
			continue
		}
		stat, err := h.ReadFile(path.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // As above.
		}
		since, ok := started(string(stat))
		if !ok {
			return nil, fmt.Errorf("/proc/%s/stat can't be read", e.Name())
		}
		// The kernel tells the boot in whole seconds: one that was started in the same second
		// counts as before, and is begun anew once too often rather than never.
		if before.IsZero() || boot.Add(since).Before(before.Add(time.Second)) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// started is how long after the boot a process began; proc_pid_stat(5), the 22nd field.
func started(stat string) (time.Duration, bool) {
	at := strings.LastIndexByte(stat, ')') // The name before may have anything in it.
	if at < 0 {
		return 0, false
	}
	fields := strings.Fields(stat[at+1:])
	if len(fields) < 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(fields[19], 10, 64)
	return time.Duration(n) * time.Second / ticks, err == nil
}

// booted is when the kernel says that it began.
func booted(h *host.Host) (time.Time, error) {
	raw, err := h.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(raw)) {
		if text, ok := strings.CutPrefix(line, "btime "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return time.Unix(n, 0), err
		}
	}
	return time.Time{}, errors.New("/proc/stat does not tell when the host was booted")
}
