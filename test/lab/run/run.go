// Package run starts programs by argv and keeps what they printed when they fail.
package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Cmd is one program to run.
type Cmd struct {
	// Argv is the program and its arguments.
	Argv []string
	// Dir is the working directory. Default: the caller's.
	Dir string
	// Env holds KEY=VALUE entries that are added to the caller's environment.
	Env []string
	// Stdin is what the program reads. Default: nothing.
	Stdin io.Reader
	// Stdout gets the standard output. Default: it is returned by Output.
	Stdout io.Writer
	// Log gets both streams as well, such as a build's log file.
	Log io.Writer
}

// Error is a program that failed, with everything it printed on its error stream.
type Error struct {
	// Argv is what was run.
	Argv []string
	// Exit is the exit code, -1 when the program did not start or was killed.
	Exit int
	// Stderr is what it printed on its error stream.
	Stderr string
	// Err is the cause as os/exec says it.
	Err error
}

// Error names the program and the end of what it printed.
func (e *Error) Error() string {
	msg := fmt.Sprintf("%s: %v", strings.Join(e.Argv, " "), e.Err)
	if s := strings.TrimSpace(e.Stderr); s != "" {
		msg += ": " + tail(s, 20)
	}
	return msg
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode returns err's exit code when it is a program that ended by itself, and false else.
func ExitCode(err error) (int, bool) {
	var re *Error
	if errors.As(err, &re) && re.Exit >= 0 {
		return re.Exit, true
	}
	return 0, false
}

// Output runs c and returns its standard output. A failure is an *Error.
func Output(ctx context.Context, c Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := command(ctx, c)
	cmd.Stdin = c.Stdin
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	if c.Log != nil {
		cmd.Stdout, cmd.Stderr = io.MultiWriter(cmd.Stdout, c.Log), io.MultiWriter(&stderr, c.Log)
	}
	err := cmd.Run()
	return stdout.String(), wrap(cmd, stderr.String(), err)
}

// Run is Output for callers that don't care what was printed.
func Run(ctx context.Context, argv ...string) error {
	_, err := Output(ctx, Cmd{Argv: argv})
	return err
}

// Attached runs argv on the given streams, as a person's own program. It is
// not put into a process group of its own, so that a terminal works.
func Attached(ctx context.Context, argv, env []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return AttachedWith(ctx, argv, append(os.Environ(), env...), stdin, stdout, stderr)
}

// AttachedWith is Attached with an environment that is the whole of it.
func AttachedWith(ctx context.Context, argv, env []string, stdin io.Reader, stdout, stderr io.Writer) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.WaitDelay = 5 * time.Second
	return wrap(cmd, "", cmd.Run())
}

// AsRoot returns argv as it must be run to act as root: through sudo when the
// caller is somebody else.
func AsRoot(argv ...string) []string {
	if os.Geteuid() == 0 {
		return argv
	}
	return append([]string{"sudo", "--"}, argv...)
}

// command makes the os/exec command: its own process group, so that a Ctrl-C
// reaches it once, from us, and with an end that is waited for.
func command(ctx context.Context, c Cmd) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// wrap makes the *Error of a command that failed.
func wrap(cmd *exec.Cmd, stderr string, err error) error {
	if err == nil {
		return nil
	}
	exit := -1
	if cmd.ProcessState != nil {
		exit = cmd.ProcessState.ExitCode()
	}
	return &Error{Argv: cmd.Args, Exit: exit, Stderr: stderr, Err: err}
}

// tail returns the last n lines of s.
func tail(s string, n int) string {
	lines := strings.Split(s, "\n")
	if len(lines) > n {
		lines = append([]string{"[…]"}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}
