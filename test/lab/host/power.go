package host

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
)

// stopSeconds is how long a host may take to shut down before its power is cut.
const stopSeconds = "60"

// pick returns the named hosts' names, or all when none is named.
func (l *Lab) pick(names []string) ([]string, error) {
	if len(names) == 0 {
		for _, h := range l.Hosts {
			names = append(names, h.Name)
		}
		return names, nil
	}
	for _, n := range names {
		if _, err := l.Container(n); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// each runs docker with args and the container's name for every named host, side by side.
func (m Manager) each(ctx context.Context, l *Lab, names []string, args ...string) error {
	errs := make([]error, len(names))
	var g errgroup.Group
	for i, n := range names {
		g.Go(func() error {
			if _, err := m.Docker.Run(ctx, append(append([]string{}, args...), l.container(n))...); err != nil {
				errs[i] = fmt.Errorf("host %s: %w", n, err)
			}
			return nil
		})
	}
	// The goroutines keep their errors: all hosts are tried.
	_ = g.Wait()
	return errors.Join(errs...)
}

// Stop shuts hosts down as an operator does; all when none is named.
func (m Manager) Stop(ctx context.Context, l *Lab, names []string) error {
	names, err := l.pick(names)
	if err != nil {
		return err
	}
	return m.each(ctx, l, names, "stop", "--time", stopSeconds)
}

// Kill cuts the hosts' power.
func (m Manager) Kill(ctx context.Context, l *Lab, names []string) error {
	names, err := m.inState(ctx, l, names, "running", "paused")
	if err != nil {
		return err
	}
	return m.each(ctx, l, names, "kill")
}

// Pause freezes every process of the hosts; their addresses stay.
func (m Manager) Pause(ctx context.Context, l *Lab, names []string) error {
	names, err := m.inState(ctx, l, names, "running")
	if err != nil {
		return err
	}
	return m.each(ctx, l, names, "pause")
}

// Unpause lets frozen hosts go on.
func (m Manager) Unpause(ctx context.Context, l *Lab, names []string) error {
	names, err := m.inState(ctx, l, names, "paused")
	if err != nil {
		return err
	}
	return m.each(ctx, l, names, "unpause")
}

// Start starts hosts and waits until one can log in to them, with the faults
// that they had before. With no names it starts all and the mirror.
func (m Manager) Start(ctx context.Context, l *Lab, names []string) error {
	if len(names) == 0 {
		names = append(names, MirrorName)
		for _, h := range l.Hosts {
			names = append(names, h.Name)
		}
	} else if _, err := l.pick(names); err != nil {
		return err
	}
	if err := l.prepareMachine(ctx); err != nil {
		return err
	}
	stopped, err := m.inState(ctx, l, names, "exited", "created", "dead")
	if err != nil {
		return err
	}
	if err := m.each(ctx, l, stopped, "start"); err != nil {
		return err
	}
	if err := m.restoreFaults(ctx, l); err != nil {
		return err
	}
	states, err := m.Docker.Containers(ctx, docker.LabelLab, l.Name)
	if err != nil {
		return err
	}
	var wait []Host
	for _, n := range names {
		h, err := l.Host(n)
		// A paused or partitioned host can't answer, and is not meant to.
		if err == nil && states[l.container(n)].State.Status == "running" && !l.partitioned(n) {
			wait = append(wait, h)
		}
	}
	return l.waitReady(ctx, wait)
}

// prepareMachine sets up what this machine has for a lab beside Docker's, and
// has lost when it was restarted.
func (l *Lab) prepareMachine(ctx context.Context) error {
	if err := l.refuseOutside(ctx); err != nil {
		return err
	}
	if err := l.ensureNAT(ctx); err != nil {
		return err
	}
	return l.mountDisks(ctx)
}

// inState returns those of the named hosts (all when none is named) whose
// container is in one of the states.
func (m Manager) inState(ctx context.Context, l *Lab, names []string, states ...string) ([]string, error) {
	names, err := l.pick(names)
	if err != nil {
		return nil, err
	}
	there, err := m.Docker.Containers(ctx, docker.LabelLab, l.Name)
	if err != nil {
		return nil, err
	}
	var picked []string
	for _, n := range names {
		c, ok := there[l.container(n)]
		if !ok {
			return nil, fmt.Errorf("host %s has no container any more; lab up makes it again", n)
		}
		for _, s := range states {
			if c.State.Status == s {
				picked = append(picked, n)
			}
		}
	}
	return picked, nil
}

// Down removes the lab: containers, volumes, network, state.
func (m Manager) Down(ctx context.Context, name string) error {
	there, err := m.Docker.Containers(ctx, docker.LabelLab, name)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		args := []string{"rm", "--force", "--volumes"}
		for n := range there {
			args = append(args, n)
		}
		if _, err := m.Docker.Run(ctx, args...); err != nil {
			return err
		}
	}
	// Those of hosts that were made from frozen ones; the others went with their containers.
	if err := m.Docker.RemoveVolumes(ctx, docker.LabelLab, name); err != nil {
		return err
	}
	networks, err := m.Docker.Networks(ctx)
	if err != nil {
		return err
	}
	for _, n := range networks {
		if n.Labels[docker.LabelLab] == name {
			if _, err := m.Docker.Run(ctx, "network", "rm", n.Name); err != nil {
				return err
			}
		}
	}
	l, err := Load(m.Cache, name)
	if errors.Is(err, ErrNoLab) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(l.removeBridges(ctx), l.removeNAT(ctx), l.admitOutside(ctx), l.unmountDisks(ctx)); err != nil {
		return err
	}
	return l.remove()
}
