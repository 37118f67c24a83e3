package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// hostKeyFlag is --ssh-host-key.
type hostKeyFlag struct{ policy ssh.HostKeyPolicy }

func addHostKeyFlag(c *cobra.Command, h *hostKeyFlag) {
	h.policy = ssh.Strict
	c.Flags().Var(h, "ssh-host-key", "what to do with a host key that is not in known_hosts: strict refuses it, accept-new adds it")
	// RegisterFlagCompletionFunc fails only for a flag that is not there.
	_ = c.RegisterFlagCompletionFunc("ssh-host-key", cobra.FixedCompletions([]string{string(ssh.Strict), string(ssh.AcceptNew)}, cobra.ShellCompDirectiveNoFileComp))
}

// String is the flag's value.
func (h *hostKeyFlag) String() string { return string(h.policy) }

// Type names the value in the help.
func (h *hostKeyFlag) Type() string { return "policy" }

// Set takes a value.
func (h *hostKeyFlag) Set(value string) error {
	switch p := ssh.HostKeyPolicy(value); p {
	case ssh.Strict, ssh.AcceptNew:
		h.policy = p
		return nil
	}
	return fmt.Errorf("use %s or %s", ssh.Strict, ssh.AcceptNew)
}

// sshEnvironment reads what the caller's login gives for SSH.
func sshEnvironment() (ssh.Environment, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return ssh.Environment{}, fmt.Errorf("find your home directory: %w", err)
	}
	env := ssh.Environment{Home: home, User: loginName(), AgentSocket: os.Getenv("SSH_AUTH_SOCK"), Shell: os.Getenv("SHELL"),
		ConfigFiles: []string{filepath.Join(home, ".ssh", "config")}, Lookup: os.LookupEnv}
	if u, err := user.Current(); err == nil {
		env.LoginHome, env.UID = u.HomeDir, u.Uid
	}
	// It is for %l in names of files only.
	env.Hostname, _ = os.Hostname()
	system := "/etc/ssh"
	if runtime.GOOS == "windows" {
		system = filepath.Join(os.Getenv("ProgramData"), "ssh")
		if env.AgentSocket == "" {
			env.AgentSocket = `\\.\pipe\openssh-ssh-agent` // where OpenSSH's agent for Windows is
		}
	}
	env.SystemKnownHosts = []string{filepath.Join(system, "ssh_known_hosts"), filepath.Join(system, "ssh_known_hosts2")}
	env.ConfigFiles = append(env.ConfigFiles, filepath.Join(system, "ssh_config"))
	// One that is in the working directory only is not run (exec.ErrDot).
	if path, err := exec.LookPath("ssh"); err == nil {
		env.SSH = path
	}
	return env, nil
}

// loginName is the caller's name; on Windows without the domain.
func loginName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username[strings.LastIndexByte(u.Username, '\\')+1:]
	}
	for _, name := range []string{"USER", "USERNAME", "LOGNAME"} {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// resolve finds out how to log in to the hosts, and tells what of the caller's
// SSH configuration is left out.
func resolve(ctx context.Context, c *v1alpha1.Cluster, hosts []v1alpha1.Host, sink report.Sink) ([]ssh.Target, error) {
	env, err := sshEnvironment()
	if err != nil {
		return nil, err
	}
	config, err := ssh.LoadConfig(ctx, env)
	if err != nil {
		return nil, err
	}
	var targets []ssh.Target
	var errs []error
	for _, h := range hosts {
		t, err := ssh.Resolve(ctx, h, c.SSHFor(h), config, env)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		targets = append(targets, t)
	}
	for _, w := range config.Warnings() {
		sink.Emit(report.Event{Kind: report.Warning, Message: w})
	}
	return targets, withCode(ExitUsage, errors.Join(errs...))
}

// connect logs in to the hosts, all of the Cluster's when none is named. The
// Hosts are usable although there is an error: it is about those that can't be
// reached.
func connect(ctx context.Context, c *v1alpha1.Cluster, policy ssh.HostKeyPolicy, sink report.Sink, only ...v1alpha1.Host) (*ssh.Hosts, error) {
	if len(only) == 0 {
		only = c.Spec.Hosts
	}
	targets, err := resolve(ctx, c, only, sink)
	if err != nil {
		return nil, err
	}
	source, err := newAgentSource()
	if err != nil {
		return nil, err
	}
	end := begin(sink, "connect", "log in to "+plural(len(targets), "host", "hosts"))
	dialer := ssh.NewDialer(policy)
	dialer.Warn = func(message string) { sink.Emit(report.Event{Kind: report.Warning, Message: message}) }
	hosts, err := ssh.Connect(ctx, dialer, targets, source)
	failure := ""
	if failed := slices.Sorted(maps.Keys(hosts.Failed())); len(failed) > 0 {
		failure = "not to " + strings.Join(failed, ", ")
	}
	end(failure)
	return hosts, withCode(ExitUnreachable, err)
}

// begin tells that something of the workstation's own has begun; the returned
// function that it has ended, well without a failure. It does so once.
func begin(sink report.Sink, id, title string) (end func(failure string)) {
	started := time.Now()
	sink.Emit(report.Event{Time: started, Kind: report.StepStarted, Step: id, Title: title})
	var once sync.Once
	return func(failure string) {
		once.Do(func() {
			e := report.Event{Time: time.Now(), Kind: report.StepDone, Step: id, Title: title, Elapsed: time.Since(started)}
			if failure != "" {
				e.Kind, e.Error = report.StepFailed, failure
			}
			sink.Emit(e)
		})
	}
}

// closeHosts ends the connections; what goes wrong with that spoils nothing.
func closeHosts(hosts *ssh.Hosts, sink report.Sink) {
	if err := hosts.Close(); err != nil {
		sink.Emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf("close the connections to the hosts: %v", err)})
	}
}
