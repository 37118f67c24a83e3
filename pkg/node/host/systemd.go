package host

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Unit is what systemd says of a unit.
type Unit struct {
	Name                             string
	LoadState, ActiveState, SubState string
	UnitFileState                    string
	MainPID                          int
	// ActiveEnter is when it became active; zero when it is not.
	ActiveEnter time.Time
	// Started is when its main process was started, or for want of one when the
	// unit was; zero when it is not active.
	Started time.Time
	// NeedReload is true when the unit file is newer than what systemd has read.
	NeedReload bool
	// Files are the unit file and its drop-ins.
	Files []string
}

// Active tells whether it runs or is about to.
func (u Unit) Active() bool {
	return u.ActiveState == "active" || u.ActiveState == "activating" || u.ActiveState == "reloading"
}

// Enabled tells whether it is started at boot, or can't be enabled at all.
func (u Unit) Enabled() bool {
	switch u.UnitFileState {
	case "enabled", "static", "indirect", "generated", "alias":
		return true
	}
	return false
}

// UnitProperties are what is asked of systemd for a Unit.
const UnitProperties = "LoadState,ActiveState,SubState,UnitFileState,MainPID,FragmentPath,DropInPaths,NeedDaemonReload," +
	"ActiveEnterTimestampMonotonic,InactiveExitTimestampMonotonic,ExecMainStartTimestampMonotonic"

// Unit asks systemd for a unit's state; a unit that does not exist has the
// LoadState not-found, and is not an error.
func (h *Host) Unit(ctx context.Context, name string) (Unit, error) {
	out, err := h.Query(ctx, Command{Argv: []string{"systemctl", "show", "--property=" + UnitProperties, name}, Timeout: time.Minute})
	if err != nil {
		return Unit{}, fmt.Errorf("ask systemd for the unit %s: %w", name, err)
	}
	u, err := parseUnit(out.Stdout, fromMonotonic)
	if err != nil {
		return Unit{}, fmt.Errorf("ask systemd for the unit %s: %w", name, err)
	}
	u.Name = name
	return u, nil
}

// parseUnit reads the properties that systemctl show prints, one NAME=VALUE per
// line. clock turns microseconds of the monotonic clock into a time; systemd's
// other form of timestamps is for people.
func parseUnit(text []byte, clock func(uint64) time.Time) (Unit, error) {
	var u Unit
	var active, inactiveExit, execStart uint64
	numbers := map[string]*uint64{"ActiveEnterTimestampMonotonic": &active,
		"InactiveExitTimestampMonotonic": &inactiveExit, "ExecMainStartTimestampMonotonic": &execStart}
	texts := map[string]*string{"LoadState": &u.LoadState, "ActiveState": &u.ActiveState,
		"SubState": &u.SubState, "UnitFileState": &u.UnitFileState}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		name, value, ok := strings.Cut(s.Text(), "=")
		if !ok {
			continue
		}
		var err error
		switch {
		case texts[name] != nil:
			*texts[name] = value
		case numbers[name] != nil:
			*numbers[name], err = strconv.ParseUint(value, 10, 64)
		case name == "MainPID":
			u.MainPID, err = strconv.Atoi(value)
		case name == "NeedDaemonReload":
			u.NeedReload = value == "yes"
		case name == "FragmentPath" && value != "":
			u.Files = append(u.Files, value)
		case name == "DropInPaths":
			u.Files = append(u.Files, strings.Fields(value)...)
		}
		if err != nil {
			return Unit{}, fmt.Errorf("systemctl show: %s: %w", name, err)
		}
	}
	if u.LoadState == "" || u.ActiveState == "" {
		return Unit{}, fmt.Errorf("systemctl show did not tell the unit's state")
	}
	if !u.Active() {
		return u, nil
	}
	if active > 0 {
		u.ActiveEnter = clock(active)
	}
	if execStart > 0 {
		u.Started = clock(execStart)
	} else if inactiveExit > 0 {
		u.Started = clock(inactiveExit)
	}
	return u, nil
}

// fromMonotonic is the wall clock's time of a reading of CLOCK_MONOTONIC.
func fromMonotonic(us uint64) time.Time {
	now, err := monotonicNow()
	if err != nil {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(us)*time.Microsecond - now)
}

// Stale tells whether a running unit was started before any of its unit files,
// or of the given files, last changed: a restart that is still owed, also when
// the run that changed the file did not get to it.
func (h *Host) Stale(u Unit, files ...string) bool {
	if !u.Active() || u.Started.IsZero() {
		return false
	}
	for _, f := range append(files, u.Files...) {
		info, err := os.Stat(h.Path(f))
		if err == nil && info.ModTime().After(u.Started) {
			return true
		}
	}
	return false
}

// EnsureUnit reloads systemd when needed, enables the unit, starts it, or
// restarts it when restart is true or its unit file changed. It tells whether
// anything was done. It does not wait for more than systemd's own job.
func (h *Host) EnsureUnit(ctx context.Context, name string, restart bool) (changed bool, err error) {
	u, reloaded, err := h.loadUnit(ctx, name)
	if err != nil {
		return false, err
	}
	enabled, err := h.enable(ctx, u)
	if err != nil {
		return false, err
	}
	verb := ""
	switch {
	case !u.Active():
		verb = "start"
		if err := h.noteUnit(ctx, u); err != nil {
			return false, err
		}
	case restart || reloaded && u.NeedReload || h.Stale(u):
		verb = "restart"
	default:
		return enabled, nil
	}
	if u.ActiveState == "failed" {
		// Else systemd may refuse for the rate of its starts.
		if err := h.systemctl(ctx, "reset-failed", name); err != nil {
			return false, err
		}
	}
	return true, h.systemctl(ctx, verb, name)
}

// noteUnit notes the state of a unit that is about to be started, when the
// ledger has none of it yet: to enable it may not have been needed.
func (h *Host) noteUnit(ctx context.Context, u Unit) error {
	if h.opts.DryRun || h.opts.Ledger == nil || h.opts.Ledger.Knows(KindUnit, u.Name) {
		return nil
	}
	if err := h.mayMutate(ctx); err != nil {
		return fmt.Errorf("start %s: not done: %w", u.Name, err)
	}
	return h.opts.Ledger.append(Entry{Step: h.opts.Step, Action: ActionRecord, Kind: KindUnit, Target: u.Name,
		Original: &Original{State: u.UnitFileState + " " + u.ActiveState}})
}

// RecordUnit notes a unit's state before something makes systemd start it.
func (h *Host) RecordUnit(ctx context.Context, name string) error {
	if h.opts.DryRun || h.opts.Ledger == nil || h.opts.Ledger.Knows(KindUnit, name) {
		return nil
	}
	u, err := h.Unit(ctx, name)
	if err != nil {
		return err
	}
	return h.noteUnit(ctx, u)
}

// EnableUnit is EnsureUnit without starting or restarting anything.
func (h *Host) EnableUnit(ctx context.Context, name string) (changed bool, err error) {
	u, _, err := h.loadUnit(ctx, name)
	if err != nil {
		return false, err
	}
	return h.enable(ctx, u)
}

// loadUnit asks for a unit, after a reload of systemd where its files changed.
// The returned unit is the one before the reload, unless it was not known then.
func (h *Host) loadUnit(ctx context.Context, name string) (u Unit, reloaded bool, err error) {
	u, err = h.Unit(ctx, name)
	if err != nil || u.LoadState != "not-found" && !u.NeedReload {
		return u, false, err
	}
	if err := h.systemctl(ctx, "daemon-reload"); err != nil {
		return u, false, err
	}
	if h.opts.DryRun || u.LoadState != "not-found" {
		return u, true, nil
	}
	if u, err = h.Unit(ctx, name); err != nil {
		return u, true, err
	}
	if u.LoadState != "loaded" {
		return u, true, fmt.Errorf("systemd does not load the unit %s: %s", name, u.LoadState)
	}
	return u, true, nil
}

func (h *Host) enable(ctx context.Context, u Unit) (changed bool, err error) {
	if u.Enabled() {
		return false, nil
	}
	e := Entry{Action: ActionEnable, Kind: KindUnit, Target: u.Name}
	if h.opts.Ledger != nil && !h.opts.Ledger.Knows(KindUnit, u.Name) {
		e.Original = &Original{State: u.UnitFileState + " " + u.ActiveState}
	}
	_, err = h.runNoted(ctx, Change{Action: "service", Target: "systemctl enable " + u.Name}, e,
		Command{Argv: []string{"systemctl", "enable", u.Name}, Timeout: time.Minute})
	return err == nil, err
}

// StopUnit stops and, when disable is true, disables a unit. A unit that does
// not exist is no change.
func (h *Host) StopUnit(ctx context.Context, name string, disable bool) (changed bool, err error) {
	u, err := h.Unit(ctx, name)
	if err != nil || u.LoadState == "not-found" {
		return false, err
	}
	if u.ActiveState != "inactive" && u.ActiveState != "failed" {
		if err := h.systemctl(ctx, "stop", name); err != nil {
			return false, err
		}
		changed = true
	}
	if disable && (u.UnitFileState == "enabled" || u.UnitFileState == "enabled-runtime") {
		e := Entry{Action: ActionDisable, Kind: KindUnit, Target: name}
		if h.opts.Ledger != nil && !h.opts.Ledger.Knows(KindUnit, name) {
			e.Original = &Original{State: u.UnitFileState + " " + u.ActiveState}
		}
		if _, err := h.runNoted(ctx, Change{Action: "service", Target: "systemctl disable " + name}, e,
			Command{Argv: []string{"systemctl", "disable", name}, Timeout: time.Minute}); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, nil
}

// Later is what systemd is to do by itself in a while, whatever becomes of this process.
type Later struct {
	// Timer is its unit's name, NAME.timer, by which StopUnit ends it.
	Timer string
	// Why is for people.
	Why string
	// After is in how many seconds.
	After int
	// Argv is run, and when that ends well Then; empty for nothing more. Of Then no argument
	// may have characters that mean something to systemd.
	Argv, Then []string
}

// RunLater hands it to systemd. One of that name that an earlier attempt has left is replaced.
func (h *Host) RunLater(ctx context.Context, l Later) error {
	run := []string{"systemd-run", "--collect", "--unit=" + strings.TrimSuffix(l.Timer, ".timer"), "--on-active=" + strconv.Itoa(l.After)}
	if len(l.Then) > 0 {
		for _, arg := range l.Then {
			if arg == "" || strings.ContainsAny(arg, " \t\n\"'\\%$;") {
				return fmt.Errorf("systemd would not take %q of %q as it is", arg, l.Then)
			}
		}
		// A oneshot's second command comes when the first has ended well:
		// https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html#ExecStartPre=
		run = append(run, "--property=Type=oneshot", "--property=ExecStartPost="+strings.Join(l.Then, " "))
	}
	// There can be one of a name only.
	if _, err := h.StopUnit(ctx, l.Timer, false); err != nil {
		return err
	}
	_, err := h.Run(ctx, l.Why, Command{Argv: append(run, l.Argv...), Timeout: time.Minute})
	return err
}

// unitTimeout bounds a start, stop or restart; units have timeouts of their own.
const unitTimeout = 5 * time.Minute

func (h *Host) systemctl(ctx context.Context, args ...string) error {
	line := "systemctl " + strings.Join(args, " ")
	_, err := h.runNoted(ctx, Change{Action: "service", Target: line},
		Entry{Action: ActionRun, Kind: KindCommand, Target: line},
		Command{Argv: append([]string{"systemctl"}, args...), Timeout: unitTimeout})
	return err
}
