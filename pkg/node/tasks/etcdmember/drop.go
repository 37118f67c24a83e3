package etcdmember

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// DropSpec takes a member out of etcd that is no host's: one that was added for a host
// which then was lost.
type DropSpec struct {
	// Member names it: its peer URL, address, name, or ID.
	Member string `json:"member"`
	// Members maps the names to the addresses of the members that hosts have.
	Members map[string]string `json:"members"`
	// Hosts maps the names of all hosts and nodes to their addresses: their members stay.
	Hosts map[string]string `json:"hosts"`
}

// DropData is what was done.
type DropData struct {
	// Dropped is the member that was taken out: cp4 at https://10.0.0.14:2380. Empty when
	// there was none such.
	Dropped string `json:"dropped,omitempty"`
	// Left are the members that there are now, as Dropped is.
	Left []string `json:"left,omitempty"`
}

// Drop takes the member out, when it is no host's, and etcd can do without it. One that is
// gone already is no change.
func Drop(ctx context.Context, env node.Env, spec DropSpec) (any, error) {
	id, err := Identity(env.Host)
	if err != nil {
		return nil, err
	}
	var endpoints []string
	for _, name := range slices.Sorted(maps.Keys(spec.Members)) {
		endpoints = append(endpoints, httpsURL(spec.Members[name], ClientPort))
	}
	return drop(ctx, env, spec, id, endpoints)
}

// drop asks at the endpoints who the members are.
func drop(ctx context.Context, env node.Env, spec DropSpec, id etcd.TLS, endpoints []string) (_ DropData, err error) {
	first, err := etcd.Connect(ctx, endpoints, id)
	if err != nil {
		return DropData{}, err
	}
	defer func() { err = errors.Join(err, first.Close()) }()
	env.Progress("asking etcd for its members")
	list, err := first.Members(ctx)
	if err != nil {
		return DropData{}, noMembers(err)
	}
	// Every member is asked: the one that is meant may answer, and others may be in nobody's document.
	all, err := etcd.Connect(ctx, everybody(endpoints, list), id)
	if err != nil {
		return DropData{}, err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	v := all.View(ctx)
	m, found, err := spec.choose(v)
	if err != nil {
		return DropData{}, err
	}
	data := DropData{}
	if found && !env.Host.DryRun() {
		env.Progress("taking %s out of etcd", m)
		if err := all.Remove(ctx, m.ID, leaveTimeout, told(env)); err != nil {
			return data, err
		}
	}
	for _, o := range v.Members {
		if found && o.ID == m.ID {
			data.Dropped = o.String()
			continue
		}
		data.Left = append(data.Left, o.String())
	}
	return data, nil
}

func noMembers(err error) error {
	return host.WithHint(fmt.Errorf("etcd's members can't be asked for: %w", err), "it takes a quorum: bring members back, or restore a backup (docs/disaster-recovery.md)")
}

// everybody adds the client URLs that the members tell of themselves.
func everybody(endpoints []string, list []etcd.Member) []string {
	out := slices.Clone(endpoints)
	for _, m := range list {
		for _, u := range m.ClientURLs {
			if strings.HasPrefix(u, "https://") && !slices.Contains(out, u) {
				out = append(out, u)
			}
		}
	}
	return out
}

// choose is the member that is meant, when it may go. It is pure.
func (s DropSpec) choose(v etcd.View) (_ etcd.Member, found bool, err error) {
	if v.MembersErr != nil {
		return etcd.Member{}, false, noMembers(v.MembersErr)
	}
	meant := etcd.Find(v.Members, s.Member)
	switch len(meant) {
	case 0:
		return etcd.Member{}, false, nil
	case 1:
	default:
		var each []string
		for _, m := range meant {
			each = append(each, fmt.Sprintf("%x (%s)", m.ID, m))
		}
		return etcd.Member{}, false, host.WithHint(fmt.Errorf("%s may be any of %s", s.Member, strings.Join(each, ", ")), "name it by its ID")
	}
	m := meant[0]
	if owner := etcd.Owner(v.Members, s.Hosts, m); owner != "" {
		return m, true, host.WithHint(fmt.Errorf("the etcd member %s is that of %s, which is part of the cluster", m, owner), "take the whole host out: kubectl ha node remove "+owner)
	}
	if unplaced := etcd.Unplaced(v.Members, s.Hosts); m.Started() && len(unplaced) > 0 {
		return m, true, host.WithHint(fmt.Errorf("whose the etcd member %s is can't be told: the address of %s is a name, and no member goes by it", m, strings.Join(unplaced, ", ")),
			"when you know that it is nobody's: etcdctl member remove "+fmt.Sprintf("%x", m.ID))
	}
	if err := etcd.CanDrop(v, m); err != nil {
		return m, true, host.WithHint(fmt.Errorf("the etcd member %s must stay: %w", m, err),
			"when it answers: make its host part of the cluster (kubectl ha node add), or stop its etcd first (systemctl disable --now etcd); otherwise bring other members back")
	}
	return m, true, nil
}
