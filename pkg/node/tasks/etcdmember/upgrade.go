package etcdmember

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// UpgradeTimeout is what one member's turn may take, with the way back.
	UpgradeTimeout = 15 * time.Minute
	// comesUp bounds the wait for a member that was restarted: it reads its log first.
	comesUp = 5 * time.Minute
	// lowerTimeout bounds etcd's own downgrade on the way back.
	lowerTimeout = 3 * time.Minute
	// unfinishedPath says of which upgrade this host is in the middle.
	unfinishedPath = host.StateDir + "/etcd/upgrade.json"
)

// UpgradeSpec brings a member to another version, up or down.
type UpgradeSpec struct {
	// Version to go to: v3.6.16. Its programs are in ReleasesDir.
	Version string `json:"version"`
	// Name and Address of this member.
	Name    string `json:"name"`
	Address string `json:"address"`
	// Members maps all members' names to addresses.
	Members map[string]string `json:"members"`
}

// UpgradeData is what was done.
type UpgradeData struct {
	From string `json:"from,omitempty"`
	// Already is true when there was nothing to be done; Resumed when an earlier run was gone on with.
	Already bool `json:"already,omitempty"`
	Resumed bool `json:"resumed,omitempty"`
	// Led is true when the leadership was moved away first.
	Led bool `json:"led,omitempty"`
}

// unfinished is what unfinishedPath holds, from before the first program is replaced until the
// member is well.
type unfinished struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Upgrade brings this host's member to a version: its programs are kept, the others have to be a
// quorum without it, a leader hands over, and it is restarted with the new programs. It ends when
// all members are well and this one is of the version. A member that does not get there is put back:
// its kept programs, and before that etcd's own downgrade where etcd as a whole has moved on. One
// that was cut off goes on from where it was.
func Upgrade(ctx context.Context, env node.Env, spec UpgradeSpec) (any, error) {
	return upgrade(ctx, env, spec, upgradeProbes{dial: dialPeer, connect: connectAll, up: comesUp})
}

// upgradeProbes are how the members are reached, and for how long one is waited for.
type upgradeProbes struct {
	dial    func(ctx context.Context, address string) error
	connect func(ctx context.Context, h *host.Host, s Spec) (*etcd.Client, error)
	up      time.Duration
}

// connectAll talks to all members with this host's login.
func connectAll(ctx context.Context, h *host.Host, s Spec) (*etcd.Client, error) {
	id, err := Identity(h)
	if err != nil {
		return nil, err
	}
	s.CA, s.ServerCert, s.ServerKey = id.CA, id.Cert, id.Key
	return s.connect(ctx)
}

// upgrader is one member's turn.
type upgrader struct {
	env    node.Env
	h      *host.Host
	spec   UpgradeSpec
	member Spec
	client *etcd.Client
	probes upgradeProbes
}

func upgrade(ctx context.Context, env node.Env, spec UpgradeSpec, p upgradeProbes) (_ any, err error) {
	if _, err := etcd.ParseVersion(spec.Version); err != nil {
		return nil, err
	}
	m, err := readMark(env.Host)
	if err != nil {
		return nil, err
	}
	if m == nil || m.Name != spec.Name || spec.Members[spec.Name] != spec.Address {
		return nil, host.WithHint(fmt.Errorf("this host has no etcd member %s at %s that kubectl-ha has set up", spec.Name, spec.Address), "look whether the Cluster document is that of these hosts")
	}
	u := upgrader{env: env, h: env.Host, spec: spec, member: Spec{Name: spec.Name, Address: spec.Address, Members: spec.Members}, probes: p}
	if u.client, err = p.connect(ctx, u.h, u.member); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, u.client.Close()) }()
	return u.run(ctx)
}

func (u upgrader) endpoint() string { return httpsURL(u.spec.Address, ClientPort) }

func (u upgrader) run(ctx context.Context) (UpgradeData, error) {
	next, err := toCome(u.h, u.spec.Version)
	if err != nil {
		return UpgradeData{}, err
	}
	begun, err := u.unfinished()
	if err != nil {
		return UpgradeData{}, err
	}
	there, err := next.installed(u.h)
	if err != nil {
		return UpgradeData{}, err
	}
	if begun == nil && there && u.at(ctx, u.spec.Version) == nil {
		return UpgradeData{Already: true}, u.well(ctx)
	}
	data := UpgradeData{Resumed: begun != nil}
	if begun == nil {
		if begun, err = u.begin(ctx); err != nil {
			return data, err
		}
	}
	data.From = begun.From
	before, err := openRelease(u.h, keptOf(begun.From))
	if err != nil {
		return data, fmt.Errorf("what was kept of etcd %s: %w", begun.From, err)
	}
	touched := false
	data.Led, err = u.exchange(ctx, next, &touched)
	switch {
	case err == nil:
		_, err = u.h.Remove(ctx, unfinishedPath)
		return data, err
	case ctx.Err() != nil || !touched && data.Resumed:
		return data, err // It is gone on with.
	case !touched:
		// Nothing was replaced, so there is nothing to put back: the member is not restarted for that.
		_, gone := u.h.Remove(ctx, unfinishedPath)
		return data, errors.Join(err, gone)
	}
	return data, u.putBack(ctx, before, begun.From, err)
}

// begin keeps what is in place, and notes what is about to be done.
func (u upgrader) begin(ctx context.Context) (*unfinished, error) {
	from, err := versionOf(ctx, u.h, binary, nil)
	if err != nil {
		return nil, fmt.Errorf("the etcd in place: %w", err)
	}
	if from == u.spec.Version {
		// Other bytes of the same version: what runs is put back if need be all the same.
		from += "-replaced"
	}
	u.env.Progress("keeping etcd %s", from)
	if _, err := keep(ctx, u.h, from); err != nil {
		return nil, err
	}
	b := &unfinished{From: from, To: u.spec.Version}
	raw, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	_, err = u.h.WriteFile(ctx, host.File{Path: unfinishedPath, Mode: 0o600, Content: append(raw, '\n'), Note: "an upgrade of etcd that is under way"})
	return b, err
}

// unfinished reads what an earlier run was doing. One to another version has to be ended first.
func (u upgrader) unfinished() (*unfinished, error) {
	raw, err := u.h.ReadFile(unfinishedPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var b unfinished
	if err := json.Unmarshal(raw, &b); err != nil {
		return nil, fmt.Errorf("%s can't be read: %w", unfinishedPath, err)
	}
	if b.To != u.spec.Version {
		return nil, host.WithHint(fmt.Errorf("this member is in the middle of its way from %s to %s", b.From, b.To), "bring that to its end first: kubectl ha etcd upgrade "+b.To)
	}
	return &b, nil
}

// exchange installs the new programs, restarts the member and waits until it is well with them.
// touched is set before the first program is replaced.
func (u upgrader) exchange(ctx context.Context, next release, touched *bool) (led bool, err error) {
	if u.at(ctx, u.spec.Version) != nil {
		install := func() error {
			*touched = true
			return next.install(ctx, u.h, u.spec.Version)
		}
		if led, err = u.restart(ctx, install); err != nil {
			return led, err
		}
	}
	*touched = true // From here on a member that does not get well has to go back.
	u.env.Progress("waiting until the member is well at %s", u.spec.Version)
	if _, err := u.client.WaitFor(ctx, u.probes.up, "at "+u.spec.Version, func(etcd.View) error { return u.at(ctx, u.spec.Version) }, told(u.env)); err != nil {
		return led, died(ctx, u.h, err)
	}
	return led, u.well(ctx)
}

// restart has the leadership moved away, does what is to be done while the member still runs,
// and restarts it.
func (u upgrader) restart(ctx context.Context, install func() error) (led bool, err error) {
	if u.h.DryRun() {
		return false, install()
	}
	if err := spared(ctx, u.env, u.client, u.endpoint()); err != nil {
		return false, host.WithHint(fmt.Errorf("the member is not restarted: %w", err), "see to the other members first, then go on with the same command")
	}
	// A member that is down leads nobody; that it does not answer is no reason to leave it so.
	if u.at(ctx, "") == nil {
		if led, err = u.client.MoveLeader(ctx, u.endpoint(), u.member.others(), spareTimeout, told(u.env)); err != nil {
			return led, err
		}
	}
	if err := install(); err != nil {
		return led, err
	}
	u.env.Progress("restarting the member")
	if _, err := start(ctx, u.h, true, func() error { return nil }); err != nil {
		return led, err
	}
	return led, waitUp(ctx, u.h, peerAddress(u.spec.Address), u.probes.dial)
}

// at is nil when this member answers and is of a version; of none: when it answers.
func (u upgrader) at(ctx context.Context, version string) error {
	for _, s := range u.client.Status(ctx) {
		switch {
		case s.Endpoint != u.endpoint():
		case s.Err != nil:
			return s.Err
		case version != "" && "v"+s.Version != version:
			return fmt.Errorf("it is of %s", s.Version)
		default:
			return nil
		}
	}
	return nil
}

func (u upgrader) well(ctx context.Context) error {
	if u.h.DryRun() {
		return nil
	}
	_, err := u.client.WaitHealthy(ctx, healthTimeout, told(u.env))
	return err
}

// putBack has the member run with what was kept, and says of what it could not that it is left.
func (u upgrader) putBack(ctx context.Context, before release, from string, cause error) error {
	u.env.Progress("putting etcd %s back: %v", from, cause)
	note := ""
	// etcd refuses to start on data that a newer version as a whole has stored.
	if etcd.Moved(u.client.View(ctx), from) {
		if err := u.client.Lower(ctx, from, lowerTimeout, told(u.env)); err != nil {
			return left(cause, fmt.Errorf("etcd as a whole has moved on from %s, and does not go back: %w", from, err))
		}
		note = "; etcd's downgrade to " + etcd.MinorOf(from) + " is under way: end it with kubectl ha etcd downgrade, or take it back with kubectl ha etcd downgrade --cancel once this member is up to date"
	}
	if err := before.install(ctx, u.h, from+", as it was"); err != nil {
		return left(cause, err)
	}
	if _, err := start(ctx, u.h, true, func() error { return nil }); err != nil {
		return left(cause, err)
	}
	if err := waitUp(ctx, u.h, peerAddress(u.spec.Address), u.probes.dial); err != nil {
		return left(cause, err)
	}
	if _, err := u.client.WaitMember(ctx, u.probes.up, u.endpoint(), told(u.env)); err != nil {
		return left(cause, err)
	}
	if _, err := u.h.Remove(ctx, unfinishedPath); err != nil {
		return left(cause, err)
	}
	var f *node.Failure
	out := node.Failure{Message: fmt.Sprintf("%v; the member has etcd %s again%s", cause, from, note),
		Hint: "see to the reason (journalctl -u etcd on the host), then begin again: members that are done are left as they are"}
	if errors.As(cause, &f) {
		out.Output = f.Output
	}
	return &out
}

// left is the error of a member that is neither of the new version nor of the old one.
func left(cause, err error) error {
	out := node.Failure{Message: fmt.Sprintf("%v; and the member could not be put back: %v", cause, err),
		Hint: "the others go on without it; look at journalctl -u etcd on the host, and run the same command again. When it can't be saved: kubectl ha node replace"}
	var f *node.Failure
	if errors.As(cause, &f) {
		out.Output = f.Output
	}
	return &out
}

func peerAddress(address string) string { return net.JoinHostPort(address, PeerPort) }
