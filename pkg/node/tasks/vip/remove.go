package vip

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// RemoveSpec is empty: what is there the host's ledger tells.
type RemoveSpec struct{}

// RemoveData tells what was done.
type RemoveData struct {
	// Removed is false where there was no virtual IP of kubectl-ha.
	Removed bool `json:"removed"`
	// Packages are those that were installed for it, and stay.
	Packages []string `json:"packages,omitempty"`
}

// parts are the files of the virtual IP, of which each service needs the ones before it.
var parts = []string{tmpfilesPath, WatchConfigPath, watchUnitPath, dropInPath, candidatePath, ConfigPath, readPath}

// Remove takes the virtual IP away from a host that stays a control plane: keepalived gives the
// address up first, then the watcher ends, and their files are as they were before. A keepalived
// that somebody else configured is left alone.
func Remove(ctx context.Context, env node.Env, _ RemoveSpec) (any, error) {
	h := env.Host
	ledger, err := h.Ledger()
	if errors.Is(err, fs.ErrNotExist) {
		return RemoveData{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the host's ledger: %w", err)
	}
	made := ledger.Made()
	var data RemoveData
	for _, s := range []struct{ unit, file string }{{keepalivedUnit, ConfigPath}, {WatchUnit, WatchConfigPath}} {
		if !slices.ContainsFunc(made, func(m host.Made) bool { return m.Kind == host.KindFile && m.Target == s.file }) {
			continue
		}
		data.Removed = true
		env.Progress("stopping %s", s.unit)
		if _, err := h.StopUnit(ctx, s.unit, true); err != nil {
			return nil, failure(err, s.unit+" can't be stopped", "stop it by hand, and run the command again: the address would stay on this host")
		}
	}
	for _, m := range slices.Backward(made) {
		switch {
		case m.Kind == host.KindFile && slices.Contains(parts, m.Target):
			if _, err := h.RestoreFile(ctx, m); err != nil {
				return nil, err
			}
		case m.Kind == kindPackage && m.Target == keepalived:
			data.Packages = append(data.Packages, m.Target)
		}
	}
	if !data.Removed {
		return data, nil
	}
	if _, err := h.Run(ctx, "have systemd forget the units", host.Command{Argv: []string{"systemctl", "daemon-reload"}, Timeout: time.Minute}); err != nil {
		return nil, err
	}
	return data, h.Do(ctx, host.ActionRemove, "the virtual IP's track files in "+RunDir, "nobody reads them any more", func(context.Context) error {
		var errs []error
		for _, path := range []string{HealthFile, HolderFile, DrainFile} {
			if err := os.Remove(h.Path(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
}
