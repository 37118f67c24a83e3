package uninstall

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

const (
	unitDir        = "/etc/systemd/system/"
	kubeletUnit    = "kubelet.service"
	containerdUnit = "containerd.service"
	keepalivedUnit = "keepalived.service"
	// mendUnit is there while an upgrade of this node is unfinished.
	mendUnit = "kubectl-ha-mend.service"
	// podsSlice has all pods of a kubelet that leaves cgroups to systemd.
	podsSlice = "kubepods.slice"
)

func (u *uninstaller) stopKubelet(ctx context.Context) error {
	// Of a host that was taken out of the cluster a moment ago; who has it added again
	// would lose the kubelet by it.
	return errors.Join(controlplane.KeepKubelet(ctx, u.h), u.stopTimer(ctx), u.stop(ctx, mendUnit, kubeletUnit))
}

// stopTimer ends the timer by which an upgrade that is killed has the kubelet back: it has no
// file that the ledger could know.
func (u *uninstaller) stopTimer(ctx context.Context) error {
	_, err := u.h.StopUnit(ctx, upgrade.BackTimer, false)
	return err
}

func (u *uninstaller) stopEtcd(ctx context.Context) error { return u.stop(ctx, etcdmember.UnitName) }

// stopVirtualIP ends keepalived first: it tells the others that it goes, and
// takes the address off the interface. One that was killed before left it there.
func (u *uninstaller) stopVirtualIP(ctx context.Context) error {
	if u.knowsFile(vip.ConfigPath) {
		if err := u.leave(ctx, keepalivedUnit); err != nil {
			return err
		}
	}
	if err := u.stop(ctx, vip.WatchUnit); err != nil || u.address == "" {
		return err
	}
	return u.dropAddress(ctx)
}

// readAddress notes the virtual IP before the file that has it goes.
func (u *uninstaller) readAddress() error {
	raw, err := u.h.ReadFile(vip.WatchConfigPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var config vip.WatchConfig
	if err := json.Unmarshal(raw, &config); err == nil {
		u.address = config.VirtualIP
	}
	return nil
}

// ours tells whether a unit's file is one that we wrote.
func (u *uninstaller) ours(unit string) bool { return u.knowsFile(unitDir + unit) }

// stop ends units of ours, and takes them out of the boot.
func (u *uninstaller) stop(ctx context.Context, units ...string) error {
	var errs []error
	for _, unit := range units {
		if u.ours(unit) {
			_, err := u.h.StopUnit(ctx, unit, true)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// leave puts a unit that is somebody else's into the state that it had. What the
// ledger does not tell is taken for not enabled and not running: we would not have
// started it otherwise.
func (u *uninstaller) leave(ctx context.Context, unit string) error {
	disable, stop := false, true
	if i := slices.IndexFunc(u.made, func(m host.Made) bool { return m.Kind == host.KindUnit && m.Target == unit }); i >= 0 && u.made[i].Original != nil {
		file, active, _ := strings.Cut(u.made[i].Original.State, " ")
		disable = file == "disabled"
		stop = active != "active" && active != "activating" && active != "reloading"
	}
	if stop {
		_, err := u.h.StopUnit(ctx, unit, disable)
		return err
	}
	return nil
}

// settleUnits has systemd forget units whose files are gone, and puts those that are
// not ours into the state that they had.
func (u *uninstaller) settleUnits(ctx context.Context) error {
	var errs []error
	if u.kubernetes() {
		_, err := u.h.StopUnit(ctx, podsSlice, false)
		errs = append(errs, err)
		u.removeCgroups(ctx)
	}
	if !slices.ContainsFunc(u.ledger.Entries(), func(e host.Entry) bool { return strings.HasPrefix(e.Target, unitDir) }) {
		return errors.Join(errs...)
	}
	_, err := u.h.Run(ctx, "have systemd read its units anew", host.Command{Argv: []string{"systemctl", "daemon-reload"}, Timeout: time.Minute})
	errs = append(errs, err)
	for _, m := range u.made {
		if m.Kind != host.KindUnit {
			continue
		}
		if !u.wrote(unitDir + m.Target) {
			if m.Target != keepalivedUnit { // done already
				errs = append(errs, u.leave(ctx, m.Target))
			}
			continue
		}
		errs = append(errs, u.forgetFailed(ctx, m.Target))
	}
	return errors.Join(errs...)
}

// forgetFailed has systemd forget that a unit of ours failed: it would list it for ever.
func (u *uninstaller) forgetFailed(ctx context.Context, unit string) error {
	if u.h.DryRun() {
		return nil
	}
	now, err := u.h.Unit(ctx, unit)
	if err != nil || now.ActiveState != "failed" {
		return err
	}
	_, err = u.h.Run(ctx, "", host.Command{Argv: []string{"systemctl", "reset-failed", unit}, Timeout: time.Minute})
	return err
}
