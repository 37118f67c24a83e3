package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// KindSysctl is the kind of ledger entries about kernel settings.
const KindSysctl = "sysctl"

// SysctlPath is the file of a kernel setting: net.ipv4.ip_forward lies in
// /proc/sys/net/ipv4/ip_forward.
func SysctlPath(name string) string {
	return "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
}

// SetSysctl sets a kernel setting for now; a file in /etc/sysctl.d keeps it. The
// value before our first change is in the ledger. A setting that the kernel does
// not have is an error that wraps fs.ErrNotExist.
func (h *Host) SetSysctl(ctx context.Context, name, value string) (changed bool, err error) {
	path := SysctlPath(name)
	now, err := h.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("read the kernel setting %s: %w", name, err)
	}
	before := strings.TrimSpace(string(now))
	if before == value {
		return false, nil
	}
	e := Entry{Action: ActionReplace, Kind: KindSysctl, Target: name, Note: value}
	if h.opts.Ledger != nil && !h.opts.Ledger.Knows(KindSysctl, name) {
		e.Original = &Original{State: before}
	}
	do, err := h.mutate(ctx, Change{Action: ActionReplace, Target: name, Note: "kernel setting " + value}, e)
	if err != nil || !do {
		return err == nil, err
	}
	// In place: the kernel's files can't be replaced.
	if err := os.WriteFile(h.Path(path), []byte(value+"\n"), 0); err != nil {
		return false, fmt.Errorf("set the kernel setting %s to %s: %w", name, value, err)
	}
	return true, nil
}

// RecordSysctl notes the value of a kernel setting that others are going to
// change on our behalf. A setting that the kernel does not have is left out.
func (h *Host) RecordSysctl(ctx context.Context, name string) error {
	if h.opts.DryRun || h.opts.Ledger == nil || h.opts.Ledger.Knows(KindSysctl, name) {
		return nil
	}
	now, err := h.ReadFile(SysctlPath(name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the kernel setting %s: %w", name, err)
	}
	if err := h.mayMutate(ctx); err != nil {
		return fmt.Errorf("note the kernel setting %s: not done: %w", name, err)
	}
	return h.opts.Ledger.append(Entry{Step: h.opts.Step, Action: ActionRecord, Kind: KindSysctl, Target: name,
		Original: &Original{State: strings.TrimSpace(string(now))}})
}
