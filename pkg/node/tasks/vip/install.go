package vip

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	keepalived = "keepalived"
	// kindPackage is what the ledger calls it.
	kindPackage    = "package"
	installTimeout = 5 * time.Minute
)

// manager is a package manager's way to install a package without a question.
type manager struct {
	name    string
	refresh []string
	install []string
	env     []string
}

// managers in the order of preference; yum is what dnf was before.
func managers() []manager {
	apt := []string{"-y", "-qq", "-o", "DPkg::Lock::Timeout=120"}
	return []manager{
		{"apt-get", append([]string{"apt-get"}, append(apt, "update")...), append([]string{"apt-get"}, append(apt, "install", "--no-install-recommends", keepalived)...), []string{"DEBIAN_FRONTEND=noninteractive"}},
		{"dnf", nil, []string{"dnf", "-y", "-q", "install", keepalived}, nil},
		{"yum", nil, []string{"yum", "-y", "-q", "install", keepalived}, nil},
		{"zypper", nil, []string{"zypper", "--non-interactive", "--quiet", "install", "--no-recommends", keepalived}, nil},
	}
}

// install makes sure that keepalived is there, from the host's own package
// manager where it is missing. A package may bring a configuration, but none
// that is ours: the caller looks at it before, and writes its own after.
func install(ctx context.Context, env node.Env) error {
	h := env.Host
	if _, err := h.LookPath(keepalived); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, m := range managers() {
		if _, err := h.LookPath(m.name); err != nil {
			continue
		}
		env.Progress("installing keepalived with %s", m.name)
		if err := h.Record(ctx, kindPackage, keepalived, "installed with "+m.name); err != nil {
			return err
		}
		if m.refresh != nil {
			if _, err := h.Run(ctx, "refresh the list of packages", host.Command{Argv: m.refresh, Env: m.env, Timeout: installTimeout}); err != nil {
				// An old list may do; the installation tells.
				env.Progress("the list of packages can't be refreshed: %v", err)
			}
		}
		if _, err := h.Run(ctx, "install keepalived", host.Command{Argv: m.install, Env: m.env, Timeout: installTimeout}); err != nil {
			return failure(err, "keepalived can't be installed with "+m.name, "install the package keepalived on the host by hand, without starting it, and run the command again")
		}
		if _, err := h.LookPath(keepalived); err != nil && !h.DryRun() {
			return fmt.Errorf("%s says that keepalived is installed, but: %w", m.name, err)
		}
		return nil
	}
	return host.WithHint(errors.New("keepalived is not on this host, and neither apt-get, dnf, yum nor zypper is there to install it"),
		"install keepalived 2.1 or later on the host by hand, without starting it, and run the command again")
}

// pristine tells whether a configuration is as its package brought it: RPM
// distributions ship an example under the real name. rpm --verify prints a line
// for each file that differs, with the file's name at the end.
func pristine(ctx context.Context, h *host.Host) (bool, error) {
	if _, err := h.LookPath("rpm"); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if _, err := h.Query(ctx, host.Command{Argv: []string{"rpm", "--query", "--file", ConfigPath}, Timeout: time.Minute}); err != nil {
		// It is no package's.
		return false, nil //nolint:nilerr // that is what the exit code means
	}
	out, err := h.Query(ctx, host.Command{Argv: []string{"rpm", "--verify", keepalived}, Timeout: time.Minute})
	var exit *host.CommandError
	if err != nil && !(errors.As(err, &exit) && out.ExitCode == 1) {
		return false, fmt.Errorf("ask rpm whether %s was changed: %w", ConfigPath, err)
	}
	for line := range strings.Lines(string(out.Stdout)) {
		if strings.HasSuffix(strings.TrimSpace(line), " "+ConfigPath) {
			return false, nil
		}
	}
	return true, nil
}

// failure keeps a failed command's output beside a short message.
func failure(err error, message, hint string) error {
	f := &node.Failure{Message: fmt.Sprintf("%s: %v", message, err), Hint: hint}
	var command *host.CommandError
	if errors.As(err, &command) {
		f.Output = command.Text()
	}
	return f
}
