package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/test/lab/build"
	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
	"github.com/kubectl-ha/kubectl-ha/test/lab/host"
)

// manager is what acts on labs. It needs a Docker that answers.
func (e *env) manager(cmd *cobra.Command) (host.Manager, error) {
	m := host.Manager{Cache: e.cache, Docker: e.docker, Say: e.say}
	started, err := e.docker.EnsureDaemon(cmd.Context(), e.cache.DockerLog())
	if started && err == nil {
		e.say("Docker started; lab start brings stopped hosts back")
	}
	return m, err
}

// lab is the manager and the lab that --name names.
func (e *env) lab(cmd *cobra.Command) (host.Manager, *host.Lab, error) {
	m, err := e.manager(cmd)
	if err != nil {
		return m, nil, err
	}
	l, err := host.Load(e.cache, e.name)
	return m, l, err
}

func newUp(e *env) *cobra.Command {
	size := host.Size{ControlPlanes: 3, Workers: 1}
	var wishes host.Wishes
	var from, files string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make bare hosts and a mirror, or complete and start those that there are",
		Example: "  lab up\n  lab up --name big --control-planes 3 --workers 2 --etcd 3\n" +
			"  lab up --name mixed --os debian-12,w1=debian-13 --nat --disk w1=6G\n" +
			"  lab config > cluster.yaml\n  lab up --from upgraded --files ./workstation  # what lab save froze",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			begin := time.Now()
			m, err := e.manager(cmd)
			if err != nil {
				return err
			}
			if files != "" && from == "" {
				return errors.New("--files goes with --from: it is where the folder that was frozen is put")
			}
			var l *host.Lab
			if from != "" {
				if !cmd.Flags().Changed("control-planes") && !cmd.Flags().Changed("workers") {
					size = host.Size{Etcd: size.Etcd} // the frozen one's
				}
				l, err = m.UpFrom(cmd.Context(), e.name, from, size, files)
			} else {
				l, err = m.Up(cmd.Context(), e.name, size, wishes)
			}
			if err != nil {
				return err
			}
			s, err := m.Status(cmd.Context(), l)
			if err != nil {
				return err
			}
			e.say("lab %q is up after %s", e.name, time.Since(begin).Round(100*time.Millisecond))
			return s.Write(e.Out)
		},
	}
	cmd.Flags().IntVar(&size.ControlPlanes, "control-planes", size.ControlPlanes, "hosts meant for control planes (cp1, cp2, …)")
	cmd.Flags().IntVar(&size.Workers, "workers", size.Workers, "hosts meant for workers (w1, …)")
	cmd.Flags().IntVar(&size.Etcd, "etcd", size.Etcd, "hosts meant for etcd alone (e1, …); none: etcd is on the control planes")
	cmd.Flags().StringVar(&from, "from", "", "a frozen lab (lab saves): hosts with its disks and addresses, which boot as after a power cut; more hosts than it had are bare")
	cmd.Flags().StringVar(&files, "files", "", "where to put the workstation's folder that was frozen with it; must not be there")
	traitFlags(cmd, &wishes)
	for _, f := range []string{"os", "disk", "containerd", "nftables-only", "nat", "noexec-var"} {
		cmd.MarkFlagsMutuallyExclusive("from", f)
	}
	return cmd
}

func newDown(e *env) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove the lab: hosts, volumes, network, state",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := e.manager(cmd)
			if err != nil {
				return err
			}
			names := []string{e.name}
			if all {
				if names, err = host.All(e.cache); err != nil {
					return err
				}
			}
			var errs []error
			for _, n := range names {
				if err := m.Down(cmd.Context(), n); err != nil {
					errs = append(errs, fmt.Errorf("lab %q: %w", n, err))
					continue
				}
				e.say("lab %q is gone", n)
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all labs, not just the one that --name names")
	return cmd
}

func newClean(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Remove the cache of builds; the next lab build starts from nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, err := host.All(e.cache)
			if err != nil {
				return err
			}
			if len(names) > 0 {
				return fmt.Errorf("labs %v use the cache: lab down --all first", names)
			}
			saves, err := host.Saves(e.cache)
			if err != nil {
				return err
			}
			if e.docker.Answers(cmd.Context()) == nil {
				for _, s := range saves {
					if err := (host.Manager{Cache: e.cache, Docker: e.docker, Say: e.say}).Forget(cmd.Context(), s.Name); err != nil {
						return err
					}
				}
				if err := e.docker.RemoveImages(cmd.Context(), build.HostRepository); err != nil {
					return err
				}
			}
			for _, dir := range []string{"build", "mirror", "logs"} {
				if err := cache.RemoveAll(string(e.cache) + "/" + dir); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
			}
			return nil
		},
	}
}
