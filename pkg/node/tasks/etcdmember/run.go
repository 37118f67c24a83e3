package etcdmember

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Run makes the host's etcd member as wanted, and starts it. It does not wait
// for a quorum, which the other members are needed for: that is Health's part.
// Data that exists is never touched.
//
// When something that etcd reads only at its start has changed, it is
// restarted. On a cluster that is in use (not New) that waits until the others are
// a quorum without it, and ends when all are healthy again; run it on one member
// at a time. With Join it becomes a further member of a cluster that runs, and ends
// when it votes.
func Run(ctx context.Context, env node.Env, spec Spec) (any, error) {
	return run(ctx, env, spec, probes{dial: dialPeer, spare: waitSpare, healthy: waitHealthy, enter: enter, retreat: retreat, vote: vote})
}

// probes are how the members are looked at.
type probes struct {
	// dial connects to an address of this host.
	dial func(ctx context.Context, address string) error
	// spare waits until the cluster can do without this member for a while,
	// healthy until all members are well.
	spare, healthy func(ctx context.Context, env node.Env, spec Spec) error
	// enter makes the host known to a cluster that runs, and returns the members that
	// this one lists, and whether it has added this host; retreat takes that back. vote lets
	// it vote once it has all data.
	enter   func(ctx context.Context, env node.Env, spec Spec, hasData bool) (_ Spec, added bool, err error)
	retreat func(ctx context.Context, env node.Env, spec Spec) error
	vote    func(ctx context.Context, env node.Env, spec Spec) error
}

func run(ctx context.Context, env node.Env, spec Spec, p probes) (any, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	h := env.Host
	m, err := readMark(h)
	if err != nil {
		return nil, err
	}
	hasData, err := h.Exists(path.Join(spec.DataDir, "member"))
	if err != nil {
		return nil, fmt.Errorf("look for etcd's data: %w", err)
	}
	if err := admit(spec, m, hasData); err != nil {
		return nil, err
	}
	if m == nil {
		if err := spec.ownDirectory(h); err != nil {
			return nil, err
		}
	}
	if err := spec.checkArgs(ctx, h); err != nil {
		return nil, err
	}
	if spec.Join && !h.DryRun() {
		return nil, join(ctx, env, spec, hasData, p)
	}
	return nil, setUp(ctx, env, spec, p, func() {})
}

// join makes the host a member of a cluster that runs. What it has added to that goes again
// when etcd was not even begun here; from then on it is there to be gone on with.
func join(ctx context.Context, env node.Env, spec Spec, hasData bool, p probes) error {
	spec, added, err := p.enter(ctx, env, spec, hasData)
	begun := false
	if err == nil {
		err = setUp(ctx, env, spec, p, func() { begun = true })
	}
	if err == nil || !added || begun {
		return err
	}
	if back := p.retreat(ctx, env, spec); back != nil {
		return host.WithHint(fmt.Errorf("%w; and the learner that was added for it stays: %w", err, back), "run it again; or, when the host is lost: kubectl ha node remove --etcd-member "+httpsURL(spec.Address, PeerPort))
	}
	return err
}

// setUp writes what the member needs, starts it, and waits for what its spec says. begins
// is called before etcd may start.
func setUp(ctx context.Context, env node.Env, spec Spec, p probes, begins func()) error {
	h := env.Host
	if err := spec.writeMark(ctx, h); err != nil {
		return err
	}
	env.Progress("writing etcd's configuration")
	changed, err := writeFiles(ctx, h, spec)
	if err != nil {
		return err
	}
	begins()
	restarted, err := start(ctx, h, changed, func() error {
		if spec.New {
			return nil
		}
		return p.spare(ctx, env, spec)
	})
	if err != nil || h.DryRun() {
		return err
	}
	if err := removeYAML(ctx, h); err != nil {
		return err
	}
	env.Progress("waiting for etcd to listen for its peers")
	if err := waitUp(ctx, h, peerAddress(spec.Address), p.dial); err != nil {
		return err
	}
	switch {
	case spec.Join:
		return p.vote(ctx, env, spec)
	case restarted && !spec.New:
		return p.healthy(ctx, env, spec)
	}
	return nil
}

// writeFiles makes the user, directories, keys, configuration and unit. It
// tells whether anything changed that etcd reads only at its start; it reads
// certificates anew at every handshake.
func writeFiles(ctx context.Context, h *host.Host, spec Spec) (restart bool, err error) {
	uid, gid, err := ensureUser(ctx, h)
	if err != nil {
		return false, err
	}
	if _, err := h.Mkdir(ctx, PKIDir, 0o700, uid, gid); err != nil {
		return false, err
	}
	// etcd fills it; what is in it is ours from here on.
	if err := h.Record(ctx, host.KindDirectory, spec.DataDir, "etcd's data"); err != nil {
		return false, err
	}
	if _, err := h.Mkdir(ctx, spec.DataDir, 0o700, uid, gid); err != nil {
		return false, err
	}
	files := []struct {
		file   host.File
		atOnce bool
	}{
		{host.File{Path: caFile, Mode: 0o644, UID: uid, GID: gid, Content: spec.CA, Note: "etcd's CA certificate"}, false},
		{host.File{Path: serverCert, Mode: 0o644, UID: uid, GID: gid, Content: spec.ServerCert, Note: "etcd's server certificate"}, true},
		{host.File{Path: serverKey, Mode: 0o600, UID: uid, GID: gid, Content: spec.ServerKey, Note: "etcd's server key"}, true},
		{host.File{Path: peerCert, Mode: 0o644, UID: uid, GID: gid, Content: spec.PeerCert, Note: "etcd's peer certificate"}, true},
		{host.File{Path: peerKey, Mode: 0o600, UID: uid, GID: gid, Content: spec.PeerKey, Note: "etcd's peer key"}, true},
		{host.File{Path: ConfigPath, Mode: 0o644, Content: spec.config(), Note: "etcd's configuration"}, false},
		{host.File{Path: UnitPath, Mode: 0o644, Content: unit(mayRaiseLimits(h)), Note: "etcd's systemd unit"}, false},
	}
	for _, f := range files {
		changed, err := h.WriteFile(ctx, f.file)
		if err != nil {
			return false, err
		}
		restart = restart || changed && !f.atOnce
	}
	return restart, nil
}

// removeYAML removes the configuration file of an earlier version of this program, once
// systemd has the unit that does not read it.
func removeYAML(ctx context.Context, h *host.Host) error {
	ledger, err := h.Ledger()
	if err != nil {
		return fmt.Errorf("the host's ledger: %w", err)
	}
	if !ledger.Owns(YAMLPath) {
		return nil
	}
	_, err = h.Remove(ctx, YAMLPath)
	return err
}

// start enables the unit and starts or restarts it where that is needed. It
// asks systemd not to wait: the unit counts as started only with a quorum. may is
// asked before a restart.
func start(ctx context.Context, h *host.Host, changed bool, may func() error) (restarted bool, err error) {
	// The unit wants it, and systemd does not end it by itself.
	if err := h.RecordUnit(ctx, "network-online.target"); err != nil {
		return false, err
	}
	if _, err := h.EnableUnit(ctx, UnitName); err != nil {
		return false, err
	}
	u, err := h.Unit(ctx, UnitName)
	if err != nil {
		return false, err
	}
	verb, why := "start", "start etcd"
	if u.Active() {
		// A restart may be owed from a run that wrote the file and was interrupted.
		if !changed && !h.Stale(u, ConfigPath, caFile) {
			return false, nil
		}
		if !h.DryRun() {
			if err := may(); err != nil {
				return false, err
			}
		}
		verb, why = "restart", "restart etcd with its new configuration"
	}
	_, err = h.Run(ctx, why, host.Command{Argv: []string{"systemctl", verb, "--no-block", UnitName}, Timeout: time.Minute})
	return verb == "restart", err
}

const (
	upTimeout  = time.Minute
	upInterval = 200 * time.Millisecond
)

// waitUp waits until etcd listens for its peers, which it does before it has a
// quorum. A member that can't start fails here, with its own last words.
func waitUp(ctx context.Context, h *host.Host, address string, dial func(context.Context, string) error) error {
	wait, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	for {
		u, err := h.Unit(wait, UnitName)
		if err == nil && u.ActiveState == "failed" {
			return died(ctx, h, fmt.Errorf("etcd does not start: systemd says that it %s", u.ActiveState))
		}
		if err == nil && u.Active() && u.MainPID != 0 {
			if err = dial(wait, address); err == nil {
				return nil
			}
		}
		select {
		case <-wait.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return died(ctx, h, fmt.Errorf("etcd does not listen on %s after %v; its unit is %s (%s): %w", address, upTimeout, u.ActiveState, u.SubState, err))
		case <-time.After(upInterval):
		}
	}
}

// died adds etcd's log to the error.
func died(ctx context.Context, h *host.Host, cause error) error {
	out, err := h.Query(ctx, host.Command{Argv: []string{"journalctl", "--unit", UnitName, "--lines", "30", "--no-pager", "--output", "cat"}, Timeout: 10 * time.Second})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		out.Stdout = fmt.Appendf(nil, "the journal can't be read: %v", err)
	}
	return &node.Failure{Message: cause.Error(), Output: string(out.Stdout), Hint: "look at journalctl -u etcd on the host"}
}

// dialPeer connects from the address itself: a host that does not have the
// address must not take somebody else who has it for its own member.
func dialPeer(ctx context.Context, address string) error {
	own, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	d := net.Dialer{Timeout: time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(own.Addr(), 0))}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
