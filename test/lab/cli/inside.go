package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kubectl-ha/kubectl-ha/test/lab/build"
	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
	"github.com/kubectl-ha/kubectl-ha/test/lab/host"
	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

func newExec(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "exec HOST -- COMMAND [ARG…]",
		Short:   "Run a command on a host as root, past its network and sshd",
		Example: "  lab exec cp1 -- journalctl -u kubelet\n  lab exec mirror -- ls /srv/files",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Docker is not looked for, since that takes longer than the rest: a host that runs
			// has one.
			l, err := host.Load(e.cache, e.name)
			if err != nil {
				return err
			}
			container, err := l.Container(args[0])
			if err != nil {
				return err
			}
			if isTerminal(e.In) && isTerminal(e.Out) {
				argv := append([]string{"docker", "exec", "--interactive", "--tty", container}, args[1:]...)
				return passOn(run.Attached(cmd.Context(), argv, nil, e.In, e.Out, e.Err))
			}
			argv, env, err := docker.Client{}.Enter(cmd.Context(), container, args[1:])
			if err != nil {
				return err
			}
			return passOn(run.AttachedWith(cmd.Context(), argv, env, e.In, e.Out, e.Err))
		},
	}
}

// isTerminal reports whether a stream is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func newSSH(e *env) *cobra.Command {
	user := "ops"
	cmd := &cobra.Command{
		Use:     "ssh HOST [-- COMMAND]",
		Short:   "Log in to a host",
		Example: "  lab ssh cp1\n  lab ssh w1 --user root -- hostname",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, l, err := e.lab(cmd)
			if err != nil {
				return err
			}
			h, err := l.Host(args[0])
			if err != nil {
				return err
			}
			argv := []string{
				"ssh", "-i", l.IdentityFile(), "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" + l.KnownHostsFile(),
				"-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10", user + "@" + h.Address,
			}
			if len(args) > 1 {
				argv = append(append(argv, "--"), args[1:]...)
			}
			return passOn(run.Attached(cmd.Context(), argv, nil, e.In, e.Out, e.Err))
		},
	}
	cmd.Flags().StringVar(&user, "user", user, "root, ops (with sudo) or nosudo")
	return cmd
}

func newKubectl(e *env) *cobra.Command {
	var kubeconfig string
	cmd := &cobra.Command{
		Use:     "kubectl -- ARG…",
		Short:   "Run the built kubectl against the cluster on the lab",
		Example: "  lab kubectl -- get nodes",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, l, err := e.lab(cmd)
			if err != nil {
				return err
			}
			if kubeconfig == "" {
				if kubeconfig, err = findKubeconfig(cmd, m, l); err != nil {
					return err
				}
			}
			version, err := stableVersion(e.cache)
			if err != nil {
				return err
			}
			program, err := build.Program(e.cache, version, "kubectl")
			if err != nil {
				return err
			}
			argv := append([]string{program}, args...)
			return passOn(run.Attached(cmd.Context(), argv, []string{"KUBECONFIG=" + kubeconfig}, e.In, e.Out, e.Err))
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "file to use (default: the lab's own, see lab status; else admin.conf of a control plane)")
	return cmd
}

// findKubeconfig is the lab's kubeconfig, or a copy of admin.conf of the first
// control plane that has one.
func findKubeconfig(cmd *cobra.Command, m host.Manager, l *host.Lab) (string, error) {
	if _, err := os.Stat(l.Kubeconfig()); err == nil {
		return l.Kubeconfig(), nil
	}
	errs := []error{fmt.Errorf("no kubeconfig: there is no %s", l.Kubeconfig())}
	for _, h := range l.WithRole(host.RoleControlPlane) {
		content, err := m.Docker.Run(cmd.Context(), "exec", l.Name+"-"+h.Name, "cat", "/etc/kubernetes/admin.conf")
		if err != nil {
			errs = append(errs, fmt.Errorf("host %s: %w", h.Name, err))
			continue
		}
		file := filepath.Join(filepath.Dir(l.Kubeconfig()), "admin.conf")
		return file, os.WriteFile(file, []byte(content+"\n"), 0o600)
	}
	return "", errors.Join(errs...)
}

// stableVersion is the newest Kubernetes version that was built.
func stableVersion(c cache.Dir) (string, error) {
	content, err := os.ReadFile(filepath.Join(c.Files(), "dl.k8s.io/release/stable.txt"))
	if errors.Is(err, os.ErrNotExist) {
		return "", errors.New("no Kubernetes is built yet: run lab build first")
	}
	return string(content), err
}

func newLogs(e *env) *cobra.Command {
	var follow bool
	var unit string
	cmd := &cobra.Command{
		Use:     "logs HOST|mirror|docker",
		Short:   "Show a host's journal, the mirror's requests, or the log of a Docker that the lab started",
		Example: "  lab logs cp1 --unit kubelet -f\n  lab logs mirror",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "docker" {
				return e.copyFile(e.cache.DockerLog())
			}
			_, l, err := e.lab(cmd)
			if err != nil {
				return err
			}
			container, err := l.Container(args[0])
			if err != nil {
				return err
			}
			argv := []string{"docker", "exec", container, "journalctl", "--no-pager"}
			if unit != "" {
				argv = append(argv, "--unit", unit)
			}
			if args[0] == host.MirrorName {
				argv = []string{"docker", "logs", container}
			}
			if follow {
				argv = slices.Concat(argv, []string{"--follow"})
			}
			return passOn(run.Attached(cmd.Context(), argv, nil, nil, e.Out, e.Err))
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as lines come")
	cmd.Flags().StringVar(&unit, "unit", "", "only this systemd unit's lines")
	return cmd
}

// copyFile prints a file.
func (e *env) copyFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(e.Out, f)
	return errors.Join(err, f.Close())
}
