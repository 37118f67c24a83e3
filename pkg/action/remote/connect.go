package remote

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// Login is how the caller logs in to hosts.
type Login struct {
	// Environment is what the caller's own login gives for SSH.
	Environment ssh.Environment
	// HostKeys says what to do with a host key that is not known.
	HostKeys ssh.HostKeyPolicy
}

// Connect logs in to the hosts, all of the Cluster's when none is named. The
// Hosts are usable although there is an error: it is about those that can't be
// reached.
func Connect(ctx context.Context, c *v1alpha1.Cluster, login Login, sink report.Sink, only ...v1alpha1.Host) (*ssh.Hosts, error) {
	if len(only) == 0 {
		only = c.Spec.Hosts
	}
	targets, err := resolve(ctx, c, only, login.Environment, sink)
	if err != nil {
		return nil, err
	}
	source, err := agents.NewSource()
	if err != nil {
		return nil, err
	}
	end := action.Begin(sink, "connect", "log in to "+report.Plural(len(targets), "host", "hosts"))
	dialer := ssh.NewDialer(login.HostKeys)
	dialer.Warn = func(message string) { action.Warn(sink, "", "%s", message) }
	hosts, err := ssh.Connect(ctx, dialer, targets, source)
	failure := ""
	if failed := slices.Sorted(maps.Keys(hosts.Failed())); len(failed) > 0 {
		failure = "not to " + strings.Join(failed, ", ")
	}
	end(failure)
	return hosts, action.As(action.Unreachable, err)
}

// resolve finds out how to log in to the hosts, and tells what of the caller's
// SSH configuration is left out.
func resolve(ctx context.Context, c *v1alpha1.Cluster, hosts []v1alpha1.Host, env ssh.Environment, sink report.Sink) ([]ssh.Target, error) {
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
		action.Warn(sink, "", "%s", w)
	}
	return targets, action.As(action.Invalid, errors.Join(errs...))
}

// Close ends the connections; what goes wrong with that spoils nothing.
func Close(hosts *ssh.Hosts, sink report.Sink) {
	if err := hosts.Close(); err != nil {
		action.Warn(sink, "", "close the connections to the hosts: %v", err)
	}
}
