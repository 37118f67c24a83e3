package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// daemonDeadline is how long a started daemon may take to answer; one that
// finds many dead containers needs a while.
const daemonDeadline = 90 * time.Second

// Answers reports whether a daemon answers.
func (c Client) Answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err := c.Run(ctx, "version", "--format", "{{.Server.Version}}")
	return err
}

// EnsureDaemon makes sure that a daemon answers. One that does is used as it
// is, whoever runs it. Else the machine's service is started, or without
// systemd a dockerd of our own that outlives this process and logs to logFile.
func (c Client) EnsureDaemon(ctx context.Context, logFile string) (started bool, err error) {
	answer := c.Answers(ctx)
	if answer == nil {
		return false, nil
	}
	if os.Getenv("DOCKER_HOST") != "" {
		return false, fmt.Errorf("the Docker that DOCKER_HOST names does not answer: %w", answer)
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		if err := run.Run(ctx, run.AsRoot("systemctl", "start", "docker")...); err != nil {
			return false, fmt.Errorf("start Docker's service: %w", err)
		}
		return true, c.waitForDaemon(ctx, "journalctl -u docker", nil)
	}
	if os.Geteuid() != 0 {
		return false, fmt.Errorf("no Docker answers (%w); start dockerd, or run this as root", answer)
	}
	if err := removeStalePidFiles(); err != nil {
		return false, err
	}
	exited, err := startDaemon(logFile)
	if err != nil {
		return false, err
	}
	return true, c.waitForDaemon(ctx, logFile, exited)
}

// startDaemon starts dockerd in a session of its own. The channel gets its end.
func startDaemon(logFile string) (<-chan error, error) {
	if err := os.MkdirAll(filepath.Dir(logFile), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the daemon has its own descriptor
	// Not CommandContext: the daemon is to live on when this program ends.
	cmd := exec.Command("dockerd")
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start dockerd (lab build installs Docker where it is missing): %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	return exited, nil
}

// waitForDaemon polls until the daemon answers, or has ended, or the deadline is over.
func (c Client) waitForDaemon(ctx context.Context, log string, exited <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, daemonDeadline)
	defer cancel()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-exited:
			// Another lab may have started one in the same moment: that one counts.
			if again := c.waitAnswer(ctx, 5*time.Second); again == nil {
				return nil
			}
			return fmt.Errorf("dockerd ended at once (%v); its log is %s", err, log)
		case <-ctx.Done():
			return fmt.Errorf("dockerd does not answer after %s; see %s", daemonDeadline, log)
		case <-tick.C:
			if c.Answers(ctx) == nil {
				return nil
			}
		}
	}
}

// waitAnswer polls until a daemon answers, for that long at most.
func (c Client) waitAnswer(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := c.Answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// removeStalePidFiles removes what a killed dockerd left: a later process may
// have its number, and dockerd then believes that it runs already.
func removeStalePidFiles() error {
	for path, program := range map[string]string{
		"/var/run/docker.pid":                       "dockerd",
		"/var/run/docker/containerd/containerd.pid": "containerd",
	} {
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil && isProgram(pid, program) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// isProgram reports whether the process is one of that program, and alive: a
// killed one that nobody has waited for keeps its number and its name.
func isProgram(pid int, program string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && statIsProgram(string(stat), program)
}

// statIsProgram judges the content of a /proc/PID/stat file: number, name in
// parentheses (which may hold any character), state.
func statIsProgram(stat, program string) bool {
	open, end := strings.Index(stat, "("), strings.LastIndex(stat, ")")
	if open < 0 || end < open {
		return false
	}
	state := strings.TrimSpace(stat[end+1:])
	return stat[open+1:end] == program && state != "" && state[0] != 'Z' && state[0] != 'X'
}
