package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// HostKeyFlag is --ssh-host-key.
type HostKeyFlag struct{ policy ssh.HostKeyPolicy }

// AddHostKeyFlag adds --ssh-host-key.
func AddHostKeyFlag(c *cobra.Command, h *HostKeyFlag) {
	h.policy = ssh.Strict
	c.Flags().Var(h, "ssh-host-key", "how to treat a host key that is not in known_hosts: strict rejects it, accept-new adds it")
	// RegisterFlagCompletionFunc fails only for a flag that is not there.
	_ = c.RegisterFlagCompletionFunc("ssh-host-key", cobra.FixedCompletions([]string{string(ssh.Strict), string(ssh.AcceptNew)}, cobra.ShellCompDirectiveNoFileComp))
}

// String is the flag's value.
func (h *HostKeyFlag) String() string { return string(h.policy) }

// Type names the value in the help.
func (h *HostKeyFlag) Type() string { return "policy" }

// Set takes a value.
func (h *HostKeyFlag) Set(value string) error {
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

// Login is how the caller logs in to hosts.
func (h *HostKeyFlag) Login() (remote.Login, error) {
	env, err := sshEnvironment()
	return remote.Login{Environment: env, HostKeys: h.policy}, err
}

// Connect is remote.Connect with the caller's login.
func Connect(ctx context.Context, c *v1alpha1.Cluster, h *HostKeyFlag, sink report.Sink, only ...v1alpha1.Host) (*ssh.Hosts, error) {
	login, err := h.Login()
	if err != nil {
		return nil, err
	}
	return remote.Connect(ctx, c, login, sink, only...)
}
