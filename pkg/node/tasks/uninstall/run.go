package uninstall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/netfilter"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Run takes everything back. On a host with nothing of ours it changes nothing.
func Run(ctx context.Context, env node.Env, spec Spec) (any, error) {
	return run(ctx, env, spec, machine{
		pods: func(ctx context.Context) ([]ctrd.Pod, error) { return ctrd.Pods(ctx, prepare.Socket) },
		removePods: func(ctx context.Context, pods []ctrd.Pod, grace time.Duration) error {
			return ctrd.RemovePods(ctx, prepare.Socket, pods, grace)
		},
		removeImages: func(ctx context.Context, refs []string) ([]ctrd.Removal, error) {
			return ctrd.RemoveImages(ctx, prepare.Socket, refs, refs)
		},
		ready:   func(ctx context.Context) error { return ctrd.CheckCRI(ctx, prepare.Socket) },
		unmount: unmount, kill: kill, self: self(), clean: netfilter.Clean,
	})
}

// machine is what is done to a host beside its files and commands.
type machine struct {
	pods         func(context.Context) ([]ctrd.Pod, error)
	removePods   func(ctx context.Context, pods []ctrd.Pod, grace time.Duration) error
	removeImages func(ctx context.Context, refs []string) ([]ctrd.Removal, error)
	// ready asks whether the container runtime serves.
	ready   func(context.Context) error
	unmount func(m host.Mount) error
	// kill ends a process, at once when hard is true. One that is gone is no error.
	kill func(pid int, hard bool) error
	// self is this process, with those above it.
	self  []int
	clean func(keep []string, do bool) (netfilter.Found, error)
}

// uninstaller holds what one run works with.
type uninstaller struct {
	machine
	h    *host.Host
	env  node.Env
	spec Spec

	ledger *host.Ledger
	made   []host.Made
	// address is the virtual IP that this host may have had; may be empty.
	address string
	// full are directories that were not empty when their turn came.
	full []host.Made
	data Data
}

func run(ctx context.Context, env node.Env, spec Spec, m machine) (any, error) {
	if spec.Grace <= 0 {
		spec.Grace = DefaultGrace
	}
	ledger, err := env.Host.Ledger()
	if errors.Is(err, fs.ErrNotExist) {
		return Data{Bare: true}, nil
	}
	if err != nil {
		return nil, err
	}
	u := &uninstaller{machine: m, h: env.Host, env: env, spec: spec, ledger: ledger, made: ledger.Made()}
	u.data.Bare = len(u.made) == 0
	if err := u.takeBack(ctx); err != nil {
		return u.data, host.WithHint(err, "what is left is in the ledger, and all that could be done is done: see to what the error names, and run the command again")
	}
	env.Progress("removing %s", host.StateDir)
	return u.data, env.Host.Forget(ctx)
}

// takeBack does everything but the ledger itself. A part that fails does not keep
// the others from being done: the host is to be as free of us as can be.
func (u *uninstaller) takeBack(ctx context.Context) error {
	if err := u.readAddress(); err != nil {
		return err
	}
	var errs []error
	for _, part := range []struct {
		title string
		do    func(context.Context) error
	}{
		// The kubelet first: it would start again what is ended.
		{"stopping the kubelet", u.stopKubelet},
		{"ending the pods", u.endPods},
		{"giving up the virtual IP", u.stopVirtualIP},
		{"stopping etcd", u.stopEtcd},
		{"stopping containerd", u.stopContainerd},
		{"ending what still runs", u.endProcesses},
		{"unmounting what pods had", u.unmountAll},
		{"removing interfaces of the pod network", u.removeInterfaces},
		{"removing rules of the packet filter", u.cleanNetfilter},
		// From here on nothing of ours runs any more.
		{"putting files back as they were", u.restoreAll},
		{"telling systemd", u.settleUnits},
	} {
		if ctx.Err() != nil {
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
		u.env.Progress("%s", part.title)
		if err := part.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", part.title, err))
		}
	}
	return errors.Join(errs...)
}

func (u *uninstaller) warn(format string, args ...any) {
	u.env.Sink.Emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf(format, args...)})
}

// knowsFile tells whether a file is ours.
func (u *uninstaller) knowsFile(path string) bool { return u.ledger.Knows(host.KindFile, path) }
