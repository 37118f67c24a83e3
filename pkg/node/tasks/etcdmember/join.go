package etcdmember

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// enterTimeout bounds the wait for a cluster that takes a new member: etcd
	// refuses while those that are there, and were so a few seconds ago, are no quorum
	// of the enlarged cluster.
	enterTimeout = time.Minute
	// voteTimeout bounds the wait for a new member to have all data.
	voteTimeout = 10 * time.Minute
)

// enter makes this host known to the running cluster, as a learner, and returns
// the spec with the members as the cluster itself lists them: etcd compares. added
// tells that it was not known before.
func enter(ctx context.Context, env node.Env, spec Spec, hasData bool) (_ Spec, added bool, err error) {
	client, err := spec.connectOthers(ctx)
	if err != nil {
		return spec, false, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	env.Progress("asking etcd for its members")
	list, err := client.Members(ctx)
	if err != nil {
		return spec, false, host.WithHint(fmt.Errorf("etcd's members can't be asked for: %w", err), "the host must reach TCP port 2379 of the members, and a quorum of them must run")
	}
	peer := httpsURL(spec.Address, PeerPort)
	m, known := etcd.At(list, peer)
	if err := spec.mayEnter(list, m, known, hasData); err != nil {
		return spec, false, err
	}
	// Before it is added: what stands in the way would do so with one learner more as well.
	members, err := spec.listed(list)
	if err != nil {
		return spec, false, err
	}
	if known {
		spec.Members = members
		return spec, false, nil
	}
	env.Progress("joining etcd as a learner")
	if _, err := client.AddLearner(ctx, peer, enterTimeout, told(env)); err != nil {
		return spec, false, noLearner(err, list)
	}
	if list, err = client.Members(ctx); err != nil {
		return spec, true, err
	}
	spec.Members, err = spec.listed(list)
	return spec, true, err
}

// noLearner says what to do about a cluster that takes no new member.
func noLearner(err error, list []etcd.Member) error {
	i := slices.IndexFunc(list, func(m etcd.Member) bool { return m.Learner })
	if etcd.IsTooManyLearners(err) && i >= 0 {
		return host.WithHint(err, fmt.Sprintf("etcd takes one at a time, and has %s: %s", list[i], finish(list[i])))
	}
	return host.WithHint(err, "a member that is lost for ever has to be removed before another one is added: kubectl ha node remove NODE; one that is only away has to come back first")
}

// finish says how a member that is not complete becomes so, or goes.
func finish(m etcd.Member) string {
	return "finish the node add that it was added for; or, when its host is lost, take it out: kubectl ha node remove --etcd-member " + m.Handle()
}

// retreat takes out again the learner that enter has added, when it can't be started after
// all: as long as it is there no other one can come.
func retreat(ctx context.Context, env node.Env, spec Spec) (err error) {
	// The task may have been told to end; this is not more of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enterTimeout)
	defer cancel()
	client, err := spec.connectOthers(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	m, known, err := spec.self(ctx, client)
	if err != nil || !known || m.Started() || !m.Learner {
		return err
	}
	env.Progress("taking the learner back, which was not started")
	return client.Remove(ctx, m.ID, enterTimeout, told(env))
}

// self is this host's member, where etcd lists one.
func (s Spec) self(ctx context.Context, client *etcd.Client) (_ etcd.Member, known bool, err error) {
	list, err := client.Members(ctx)
	if err != nil {
		return etcd.Member{}, false, err
	}
	m, known := etcd.At(list, httpsURL(s.Address, PeerPort))
	return m, known, nil
}

// mayEnter refuses a host that was a member before in another life.
func (s Spec) mayEnter(list []etcd.Member, m etcd.Member, known, hasData bool) error {
	switch {
	case known && m.Started() && !hasData:
		return host.WithHint(fmt.Errorf("%s is a member of etcd already, but its data in %s is gone", s.Name, s.DataDir),
			fmt.Sprintf("take the lost member out first: kubectl ha node remove %s; or, where the cluster knows no such node: kubectl ha node remove --etcd-member %s", s.Name, m.Handle()))
	case !known && hasData:
		return host.WithHint(fmt.Errorf("%s holds data, but etcd has no member at %s: it was taken out of the cluster", s.DataDir, s.Address),
			"remove what is left there of its former life: kubectl ha uninstall")
	}
	for _, o := range list {
		if o.Name == s.Name && o.ID != m.ID {
			return host.WithHint(fmt.Errorf("etcd has another member called %s, at %v", s.Name, o.PeerURLs), fmt.Sprintf("give the host another name; or, when that member's host is lost, take it out first: kubectl ha node remove --etcd-member %s", o.Handle()))
		}
	}
	return nil
}

// listed are the members by name, as the cluster lists them.
func (s Spec) listed(list []etcd.Member) (map[string]string, error) {
	out := map[string]string{}
	for _, m := range list {
		if len(m.PeerURLs) == 0 {
			return nil, fmt.Errorf("etcd lists the member %x without an address", m.ID)
		}
		u, err := url.Parse(m.PeerURLs[0])
		if err != nil {
			return nil, fmt.Errorf("etcd lists a member at %q: %w", m.PeerURLs[0], err)
		}
		name := m.Name
		if _, own := etcd.At([]etcd.Member{m}, httpsURL(s.Address, PeerPort)); own {
			name = s.Name // It has not told its name yet.
		}
		if name == "" {
			return nil, host.WithHint(fmt.Errorf("etcd has a member at %s that was never started", u.Host), finish(m))
		}
		out[name] = u.Hostname()
	}
	return out, nil
}

// vote waits until the new member has all data, and lets it vote then.
func vote(ctx context.Context, env node.Env, spec Spec) (err error) {
	client, err := spec.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	m, known, err := spec.self(ctx, client)
	if err != nil {
		return err
	}
	if !known {
		return fmt.Errorf("etcd does not list this host any more; somebody has removed it meanwhile")
	}
	if m.Learner {
		env.Progress("waiting until the new member has all of etcd's data")
		if err := client.Promote(ctx, m.ID, voteTimeout, told(env)); err != nil {
			return host.WithHint(err, "look at journalctl -u etcd on the host; TCP port 2380 must be open between the members, both ways")
		}
	}
	// A cluster of five takes a new member while another one is away, which stays away.
	_, err = client.WaitMember(ctx, healthTimeout, httpsURL(spec.Address, ClientPort), told(env))
	return err
}

// connectOthers talks to the members that there are besides this one.
func (s Spec) connectOthers(ctx context.Context) (*etcd.Client, error) {
	others := s
	others.Members = maps.Clone(s.Members)
	delete(others.Members, s.Name)
	if len(others.Members) == 0 {
		return nil, errors.New("etcd: there is no other member to join")
	}
	return others.connect(ctx)
}

// initial is the value of etcd's initial-cluster.
func initial(members map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		out = append(out, name+"="+httpsURL(members[name], PeerPort))
	}
	return out
}
