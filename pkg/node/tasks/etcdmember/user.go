package etcdmember

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// KindUser is the kind of ledger entries about system users.
const KindUser = "user"

// accountBackups are what the programs that change accounts leave of the files
// as they were before; passwd(5).
var accountBackups = []string{"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"}

const (
	user         = "etcd"
	sysusersPath = "/etc/sysusers.d/kubectl-ha-etcd.conf"
)

// ensureUser makes the system user that runs etcd, and returns its ids. In a
// dry run on a host without the user they are root's.
func ensureUser(ctx context.Context, h *host.Host) (uid, gid int, err error) {
	if uid, gid, err = lookupUser(ctx, h); err == nil || !errors.Is(err, errNoUser) {
		return uid, gid, err
	}
	for _, path := range accountBackups {
		if err := h.Keep(ctx, path, "backup of the accounts' files, which changes with every new user"); err != nil {
			return 0, 0, err
		}
	}
	if err := h.Record(ctx, KindUser, user, "system user that runs etcd"); err != nil {
		return 0, 0, err
	}
	command := host.Command{Argv: []string{"useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", user}}
	if _, err := h.LookPath("systemd-sysusers"); err == nil {
		if _, err := h.WriteFile(ctx, host.File{Path: sysusersPath, Mode: 0o644, Note: "system user that runs etcd",
			Content: []byte("u " + user + " - \"etcd\" - -\n")}); err != nil {
			return 0, 0, err
		}
		command = host.Command{Argv: []string{"systemd-sysusers", sysusersPath}}
	}
	if _, err := h.Run(ctx, "make the system user etcd", command); err != nil {
		return 0, 0, fmt.Errorf("make the system user %s: %w", user, err)
	}
	if h.DryRun() {
		return 0, 0, nil
	}
	return lookupUser(ctx, h)
}

var errNoUser = errors.New("there is no user " + user)

// lookupUser asks the name service, which knows users from outside /etc/passwd too.
func lookupUser(ctx context.Context, h *host.Host) (uid, gid int, err error) {
	out, err := h.Query(ctx, host.Command{Argv: []string{"getent", "passwd", user}})
	if out.ExitCode == 2 {
		// getent(1): one or more supplied keys could not be found.
		return 0, 0, errNoUser
	}
	if err != nil {
		return 0, 0, fmt.Errorf("look up the user %s: %w", user, err)
	}
	fields := strings.Split(strings.TrimSpace(string(out.Stdout)), ":")
	if len(fields) < 4 {
		return 0, 0, fmt.Errorf("look up the user %s: the answer has %d fields", user, len(fields))
	}
	uid, errUID := strconv.Atoi(fields[2])
	gid, errGID := strconv.Atoi(fields[3])
	if err := errors.Join(errUID, errGID); err != nil {
		return 0, 0, fmt.Errorf("look up the user %s: %w", user, err)
	}
	return uid, gid, nil
}
