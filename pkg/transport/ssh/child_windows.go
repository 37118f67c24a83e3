package ssh

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// detach gives a child a process group of its own: a Ctrl-C in the terminal is
// for this program, which then ends its steps in order over the child's connection.
func detach(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.CreationFlags |= syscall.CREATE_NEW_PROCESS_GROUP
	cmd.WaitDelay = 2 * time.Second
}

// shellCommand runs a ProxyCommand by cmd, whose own rules of quoting the line
// is written in.
func shellCommand(_, line string) *exec.Cmd {
	cmd := exec.Command("cmd.exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd.exe /d /s /c "` + line + `"`}
	return cmd
}

// end ends a child; Windows has no signal that asks.
func end(cmd *exec.Cmd) error { return cmd.Process.Kill() }

// dialAgent connects to ssh-agent: OpenSSH's for Windows has a named pipe, others a
// socket.
func dialAgent(socket string) (io.ReadWriteCloser, error) {
	if strings.HasPrefix(strings.ReplaceAll(socket, "/", `\`), `\\.\pipe\`) {
		return os.OpenFile(socket, os.O_RDWR, 0)
	}
	return net.Dial("unix", socket)
}
