package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// sudoPrefix runs what follows as root, and fails instead of asking.
var sudoPrefix = [...]string{"sudo", "-n", "--"}

// checkSudo tells whether commands need sudo, and that it works without a
// password: root needs none, and the Cluster file may say either.
func (c *Conn) checkSudo(ctx context.Context) (needed bool, err error) {
	t := c.target
	if t.Sudo != nil && !*t.Sudo {
		return false, nil
	}
	if t.Sudo == nil {
		if t.User == "root" {
			return false, nil
		}
		uid, err := c.output(ctx, "id", "-u")
		if err != nil {
			return false, err
		}
		if uid == "0" {
			return false, nil
		}
	}
	err = c.Run(ctx, append(sudoPrefix[:], "true"), nil, nil, nil)
	var exit *ExitError
	switch {
	case err == nil:
		return true, nil
	case !errors.As(err, &exit):
		return false, err
	}
	e := &Error{Kind: NoSudo, Host: t.Name, Err: err, Detail: strings.TrimSpace(exit.Stderr)}
	switch exit.Code {
	case 126, 127: // POSIX: found but not to be run, not found
		e.Message = fmt.Sprintf("%s is not root, and there is no sudo", t.User)
		e.Hint = "install sudo there, or log in as root (ssh.user: root)"
	default:
		e.Message = fmt.Sprintf("%s may not use sudo without a password", t.User)
		e.Hint = fmt.Sprintf("as root there: echo '%s ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/kubectl-ha; or log in as root (ssh.user: root)", t.User)
	}
	return false, e
}
