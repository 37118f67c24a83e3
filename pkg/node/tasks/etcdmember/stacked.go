package etcdmember

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Stacked is the member that kubeadm runs on a control plane, as a static pod.
type Stacked struct {
	// Name and Address are the host's; DataDir is the member's data directory.
	Name    string `json:"name"`
	Address string `json:"address"`
	DataDir string `json:"dataDir"`
	// Members maps the names of the other control planes to their addresses; empty for the first one.
	Members map[string]string `json:"members,omitempty"`
}

// Validate refuses what is no member.
func (s Stacked) Validate() error {
	if _, err := netip.ParseAddr(s.Address); err != nil || s.Name == "" {
		return fmt.Errorf("etcd: a member needs a name and an IP address; it has %q and %q", s.Name, s.Address)
	}
	if !path.IsAbs(s.DataDir) || path.Clean(s.DataDir) != s.DataDir || s.DataDir == "/" {
		return fmt.Errorf("etcd: the data directory %q is not a clean absolute path", s.DataDir)
	}
	return nil
}

// HasData tells whether there is a member's data.
func (s Stacked) HasData(h *host.Host) (bool, error) {
	has, err := h.Exists(path.Join(s.DataDir, "member"))
	if err != nil {
		return false, fmt.Errorf("look for etcd's data: %w", err)
	}
	return has, nil
}

// Own makes the data directory, and notes that what is in it is the member's. Before kubeadm was begun there,
// it refuses one in which somebody has something.
func (s Stacked) Own(ctx context.Context, h *host.Host, begun bool) error {
	if !begun {
		if err := (Spec{DataDir: s.DataDir}).ownDirectory(h); err != nil {
			return err
		}
	}
	if err := h.Record(ctx, host.KindDirectory, s.DataDir, "etcd's data"); err != nil {
		return err
	}
	_, err := h.Mkdir(ctx, s.DataDir, 0o700, 0, 0)
	return err
}

// Enter sees to it, before kubeadm announces this host to the members, that it may: kubeadm takes a
// member that is listed at this host's address for this one, and starts it, whether there is data for it or not. A
// member that has voted and starts with an empty log may vote once more for what it has voted against.
func (s Stacked) Enter(ctx context.Context, env node.Env) (err error) {
	client, err := LeaveSpec{}.connect(ctx, env.Host, s.Members)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	hasData, err := s.HasData(env.Host)
	if err != nil {
		return err
	}
	env.Progress("asking etcd for its members")
	list, err := client.Members(ctx)
	if err != nil {
		return noMembers(err)
	}
	peer := httpsURL(s.Address, PeerPort)
	if m, known := etcd.At(list, peer); known && m.Learner && m.Started() && !hasData {
		// It never voted, and what it had is lost.
		env.Progress("taking out the learner that this host was in a former life")
		if err := client.Remove(ctx, m.ID, leaveTimeout, told(env)); err != nil {
			return err
		}
		if list, err = client.Members(ctx); err != nil {
			return noMembers(err)
		}
	}
	return s.mayEnter(list, hasData)
}

// mayEnter judges the list of members. It is pure.
func (s Stacked) mayEnter(list []etcd.Member, hasData bool) error {
	m, known := etcd.At(list, httpsURL(s.Address, PeerPort))
	if err := (Spec{Name: s.Name, Address: s.Address, DataDir: s.DataDir}).mayEnter(list, m, known, hasData); err != nil {
		return err
	}
	if known {
		return nil // kubeadm goes on with what it has begun.
	}
	for _, o := range list {
		if o.Learner {
			return host.WithHint(fmt.Errorf("etcd takes no new member: it has %s, which has no vote yet, and takes one such at a time", o), finish(o))
		}
	}
	return nil
}
