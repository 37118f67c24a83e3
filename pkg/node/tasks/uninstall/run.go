package uninstall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
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
	if err := refuseOthers(env.Host, ledger); err != nil {
		return nil, err
	}
	u := &uninstaller{machine: m, h: env.Host, env: env, spec: spec, ledger: ledger, made: ledger.Made()}
	u.data.Bare = len(u.made) == 0
	for _, bad := range ledger.BadLines() {
		u.data.Left = append(u.data.Left, fmt.Sprintf("what is not known: %s", bad))
	}
	if err := u.takeBack(ctx); err != nil {
		return u.data, host.WithHint(err, "what is left is in the ledger, and all that could be done is done: see to what the error names, and run the command again")
	}
	env.Progress("removing %s", host.StateDir)
	return u.data, env.Host.Forget(ctx)
}

// kubeletConf is a kubelet's login. Whoever makes a node of a host writes it: a bootstrap and a join
// note that in the ledger before. Old ledgers have the kubelet's unit alone.
const kubeletConf = "/etc/kubernetes/kubelet.conf"

// refuseOthers refuses a node of a cluster that others made. The ledger there knows the agent, and what
// Operations have changed; what the node runs on it does not know.
func refuseOthers(h *host.Host, ledger *host.Ledger) error {
	there, err := h.Exists(kubeletConf)
	if err != nil || !there || ledger.Owns(kubeletConf) || ledger.Owns(unitDir+kubeletUnit) {
		return err
	}
	return host.WithHint(errors.New("others made this host a node of its cluster: kubectl-ha has not written "+kubeletConf+", and nothing was changed"),
		"kubectl ha adopt --release takes kubectl ha out of such a cluster")
}

// part is one of the things that are done, in their order.
type part struct {
	title string
	do    func(context.Context) error
	// holds: as long as it fails, files stay. Nothing is taken from beneath what runs.
	holds bool
}

func (u *uninstaller) parts() []part {
	return []part{
		// The kubelet first: it would start again what is ended.
		{"stopping the kubelet", u.stopKubelet, true},
		{"ending the pods", u.endPods, true},
		{"giving up the virtual IP", u.stopVirtualIP, true},
		{"stopping etcd", u.stopEtcd, true},
		{"stopping containerd", u.stopContainerd, true},
		{"ending what still runs", u.endProcesses, true},
		{"unmounting what pods had", u.unmountAll, true},
		{"removing interfaces of the pod network", u.removeInterfaces, false},
		{"removing rules of the packet filter", u.cleanNetfilter, false},
	}
}

// takeBack does everything but the ledger itself. A part that fails does not keep
// the others of its kind from being done: the host is to be as free of us as can be.
func (u *uninstaller) takeBack(ctx context.Context) error {
	if err := u.readAddress(); err != nil {
		return err
	}
	held, err := u.do(ctx, u.parts())
	if held || ctx.Err() != nil {
		return err
	}
	_, last := u.do(ctx, []part{{"putting files back as they were", u.restoreAll, false}, {"telling systemd", u.settleUnits, false}})
	return errors.Join(err, last)
}

// do does the parts, and tells whether one that holds has failed.
func (u *uninstaller) do(ctx context.Context, parts []part) (held bool, err error) {
	var errs []error
	for _, p := range parts {
		if ctx.Err() != nil {
			return true, errors.Join(append(errs, context.Cause(ctx))...)
		}
		u.env.Progress("%s", p.title)
		if err := p.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.title, err))
			held = held || p.holds
		}
	}
	return held, errors.Join(errs...)
}

// wrote tells whether a file was ever ours, also when it is gone by now.
func (u *uninstaller) wrote(path string) bool {
	return slices.ContainsFunc(u.ledger.Entries(), func(e host.Entry) bool {
		return e.Kind == host.KindFile && e.Target == path && (e.Action == host.ActionCreate || e.Action == host.ActionReplace)
	})
}

func (u *uninstaller) warn(format string, args ...any) {
	u.env.Sink.Emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf(format, args...)})
}

// knowsFile tells whether a file is ours.
func (u *uninstaller) knowsFile(path string) bool { return u.ledger.Knows(host.KindFile, path) }
