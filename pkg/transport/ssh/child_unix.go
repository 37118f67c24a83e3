//go:build unix

package ssh

import (
	"io"
	"net"
	"os/exec"
	"syscall"
	"time"
)

// detach gives a child a session of its own: a Ctrl-C in the terminal is for
// this program, which then ends its steps in order over the child's connection,
// and the child can ask nobody anything, since it has no terminal. When its
// context ends, its whole process group is ended.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
}

// shellCommand runs a ProxyCommand as OpenSSH does: by the caller's shell,
// which makes place for the command (ssh_config(5)).
func shellCommand(shell, line string) *exec.Cmd {
	if shell == "" {
		shell = "/bin/sh"
	}
	return exec.Command(shell, "-c", "exec "+line)
}

// end asks a child to end, as OpenSSH does with a ProxyCommand.
func end(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGHUP) }

// dialAgent connects to ssh-agent's socket.
func dialAgent(socket string) (io.ReadWriteCloser, error) { return net.Dial("unix", socket) }
