package uninstall

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
)

const containerdConfig = "/etc/containerd/config.toml"

// wholly are directories that we make, and that kubeadm or the network plugin
// fill. Others of ours go only when nothing is left in them.
var wholly = []string{"/etc/kubernetes/manifests", "/etc/kubernetes/pki", "/opt/cni"}

// restoreAll follows the ledger backwards: the last that was made goes first.
func (u *uninstaller) restoreAll(ctx context.Context) error {
	var errs []error
	errs = append(errs, u.restoreUnnoted(ctx))
	configured := false
	for _, m := range slices.Backward(u.made) {
		if m.Target == host.StateDir || strings.HasPrefix(m.Target, host.StateDir+"/") {
			continue // It goes as a whole.
		}
		changed, err := u.restore(ctx, m)
		if err != nil {
			errs = append(errs, err)
		}
		if changed {
			u.data.Files++
		}
		configured = configured || changed && configuresRuntime(m.Target)
	}
	errs = append(errs, u.retry(ctx))
	if slices.ContainsFunc(u.ledger.Entries(), func(e host.Entry) bool { return configuresRuntime(e.Target) && u.wrote(e.Target) }) && !u.ownsRuntime() {
		errs = append(errs, u.restartForeign(ctx, configured))
	}
	return errors.Join(errs...)
}

// configuresRuntime tells whether a file is part of containerd's configuration.
func configuresRuntime(file string) bool {
	return file == containerdConfig || path.Base(file) == prepare.DropInName
}

// retry removes the directories that were not empty when their turn came, but are
// by now. What is left then has something in it that is not ours.
func (u *uninstaller) retry(ctx context.Context) error {
	var errs []error
	for _, m := range u.full {
		_, left, err := u.h.RestoreDirectory(ctx, m)
		if left {
			u.data.Left = append(u.data.Left, u.describe(m.Target))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// restore takes one thing back.
func (u *uninstaller) restore(ctx context.Context, m host.Made) (changed bool, err error) {
	switch m.Kind {
	case host.KindFile, host.KindLink:
		return u.h.RestoreFile(ctx, m)
	case host.KindDirectory, host.KindEmptyDirectory:
		if m.Original == nil && slices.ContainsFunc(wholly, func(dir string) bool { return m.Target == dir || strings.HasPrefix(m.Target, dir+"/") }) {
			m.Whole = true
		}
		changed, left, err := u.h.RestoreDirectory(ctx, m)
		if left {
			u.full = append(u.full, m)
		}
		return changed, err
	case host.KindAttributes:
		return u.h.RestoreAttributes(ctx, m)
	case host.KindSysctl:
		changed, err := u.h.RestoreSysctl(ctx, m)
		if errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EINVAL) {
			// A host that is a container may not, or the kernel has changed its mind.
			u.warn("%v", err)
			return false, nil
		}
		return changed, err
	case etcdmember.KindUser:
		return u.removeUser(ctx, m.Target)
	case "package":
		return u.removePackage(ctx, m)
	}
	return false, nil
}

// describe names a directory that stays, and the first that is in it.
func (u *uninstaller) describe(dir string) string {
	entries, err := u.h.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return dir
	}
	var names []string
	for _, e := range entries[:min(len(entries), 3)] {
		names = append(names, e.Name())
	}
	return fmt.Sprintf("%s: in it is what kubectl-ha did not make (%s)", dir, strings.Join(names, ", "))
}

// restoreUnnoted removes what kubeadm and the kubelet make without a word, where
// the ledger is of a version that did not note it.
func (u *uninstaller) restoreUnnoted(ctx context.Context) error {
	if !u.kubernetes() {
		return nil
	}
	if slices.ContainsFunc(u.made, func(m host.Made) bool { return m.Kind == prepare.KindAnnounced }) {
		return nil
	}
	dirs := prepare.Trees()
	if u.ownsRuntime() {
		dirs = append(dirs, "/run/containerd")
	}
	var errs []error
	for _, dir := range dirs {
		there, err := u.h.Exists(dir)
		if err != nil || !there {
			errs = append(errs, err)
			continue
		}
		if u.h.DryRun() {
			errs = append(errs, u.h.Do(ctx, host.ActionRemove, dir, "directory", nil))
			continue
		}
		if err := u.h.Record(ctx, host.KindDirectory, dir, "filled by Kubernetes as it ran"); err != nil {
			return err
		}
		changed, _, err := u.h.RestoreDirectory(ctx, host.Made{Kind: host.KindDirectory, Target: dir, Whole: true})
		if changed {
			u.data.Files++
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// removeUser removes a system user that we made, and its group.
func (u *uninstaller) removeUser(ctx context.Context, name string) (changed bool, err error) {
	for _, x := range []struct{ database, program string }{{"passwd", "userdel"}, {"group", "groupdel"}} {
		out, err := u.h.Query(ctx, host.Command{Argv: []string{"getent", x.database, name}, Timeout: time.Minute})
		if out.ExitCode == 2 {
			continue // getent(1): there is none.
		}
		if err != nil {
			return changed, fmt.Errorf("look up %s in %s: %w", name, x.database, err)
		}
		if x.database == "group" && u.h.DryRun() {
			continue // It goes with the user.
		}
		if _, err := u.h.Run(ctx, "it was made for etcd", host.Command{Argv: []string{x.program, name}, Timeout: time.Minute}); err != nil {
			return changed, fmt.Errorf("remove the system user %s: %w", name, err)
		}
		changed = true
	}
	return changed, nil
}

// removePackage removes a package that we installed, not those that came with it:
// others may need them by now.
func (u *uninstaller) removePackage(ctx context.Context, m host.Made) (changed bool, err error) {
	manager := strings.TrimPrefix(m.Note, "installed with ")
	commands := map[string]host.Command{
		"apt-get": {Argv: []string{"apt-get", "-y", "-qq", "-o", "DPkg::Lock::Timeout=120", "purge", m.Target}, Env: []string{"DEBIAN_FRONTEND=noninteractive"}},
		"dnf":     {Argv: []string{"dnf", "-y", "-q", "--noautoremove", "remove", m.Target}},
		"yum":     {Argv: []string{"yum", "-y", "-q", "remove", m.Target}},
		"zypper":  {Argv: []string{"zypper", "--non-interactive", "--quiet", "remove", m.Target}},
	}
	command, ok := commands[manager]
	if !ok {
		u.data.Left = append(u.data.Left, fmt.Sprintf("package %s: %s", m.Target, m.Note))
		return false, nil
	}
	if _, err := u.h.LookPath(m.Target); err != nil {
		return false, nil //nolint:nilerr // it is not there any more
	}
	command.Timeout = 5 * time.Minute
	_, err = u.h.Run(ctx, "it was installed for the virtual IP", command)
	return err == nil, err
}
