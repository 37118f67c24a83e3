package etcdmember

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// leaveTimeout bounds the removal, and the wait for a quorum of those that stay.
const leaveTimeout = time.Minute

// LeaveSpec takes a member out of the cluster, from another host.
type LeaveSpec struct {
	// Name and Address of the member that leaves.
	Name    string `json:"name"`
	Address string `json:"address"`
	// Members maps all members' names to addresses, with the one that leaves.
	Members map[string]string `json:"members"`
	// MayBeNone tells that the host may have no member: no document has it. Where this host has no
	// login to etcd it has none, since then it is not kubectl-ha that adds members here.
	MayBeNone bool `json:"mayBeNone,omitempty"`
}

// LeaveData is what was seen.
type LeaveData struct {
	// Gone tells that there was no such member.
	Gone bool `json:"gone,omitempty"`
	// Members is how many there are besides it, Answer how many of them answer.
	Members int `json:"members"`
	Answer  int `json:"answer"`
}

// MayLeave tells whether the cluster can do without a member for good. It asks the
// members themselves, at their TLS ports, and changes nothing.
func MayLeave(ctx context.Context, env node.Env, spec LeaveSpec) (_ any, err error) {
	client, err := spec.connect(ctx, env.Host, spec.Members)
	if spec.none(err) {
		return LeaveData{Gone: true}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return spec.look(client.View(ctx))
}

// look judges what is seen of the members.
func (s LeaveSpec) look(v etcd.View) (LeaveData, error) {
	if v.MembersErr != nil {
		return LeaveData{}, noMembers(v.MembersErr)
	}
	m, known := etcd.At(v.Members, httpsURL(s.Address, PeerPort))
	data := LeaveData{Gone: !known, Members: len(v.Members)}
	if known {
		data.Members--
		if err := etcd.CanRemove(v, m.ID); err != nil {
			return data, host.WithHint(fmt.Errorf("the etcd member of %s must stay: %w", s.Name, err), "bring other members back, or add one first: kubectl ha node add")
		}
	}
	for _, st := range v.Status {
		if st.Err == nil && st.ID != 0 && (!known || st.ID != m.ID) {
			data.Answer++
		}
	}
	return data, nil
}

// Leave takes the member out, when those that stay are a quorum, and ends when they
// have agreed on a leader again. One that is gone already is no change.
func Leave(ctx context.Context, env node.Env, spec LeaveSpec) (_ any, err error) {
	client, err := spec.connect(ctx, env.Host, spec.Members)
	if spec.none(err) {
		return LeaveData{Gone: true}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	v := client.View(ctx)
	data, err := spec.look(v)
	if err != nil || env.Host.DryRun() {
		return data, err
	}
	if m, known := etcd.At(v.Members, httpsURL(spec.Address, PeerPort)); known {
		env.Progress("taking %s out of etcd", spec.Name)
		if err := client.Remove(ctx, m.ID, leaveTimeout, told(env)); err != nil {
			return data, err
		}
	}
	stay := maps.Clone(spec.Members)
	delete(stay, spec.Name)
	others, err := spec.connect(ctx, env.Host, stay)
	if err != nil {
		return data, err
	}
	defer func() { err = errors.Join(err, others.Close()) }()
	if _, err := others.WaitQuorum(ctx, leaveTimeout, told(env)); err != nil {
		return data, host.WithHint(err, "look at journalctl -u etcd on the members that are left")
	}
	return data, nil
}

// none tells whether this error of connect says that the host has no member.
func (s LeaveSpec) none(err error) bool { return s.MayBeNone && errors.Is(err, errNoLogin) }

func (s LeaveSpec) connect(ctx context.Context, h *host.Host, members map[string]string) (*etcd.Client, error) {
	id, err := Identity(h)
	if err != nil {
		return nil, err
	}
	var endpoints []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		endpoints = append(endpoints, httpsURL(members[name], ClientPort))
	}
	return etcd.Connect(ctx, endpoints, id)
}

// errNoLogin is what Identity finds on a host that kubectl-ha, or kubeadm, gave no login to etcd.
var errNoLogin = errors.New("this host has no certificates for etcd")

// Identity reads the certificates with which a host may talk to etcd: a member's
// own, or those of an apiserver.
func Identity(h *host.Host) (etcd.TLS, error) {
	for _, files := range [][3]string{
		{caFile, serverCert, serverKey},
		{kubeadm.EtcdCAFile, kubeadm.EtcdClientCertFile, kubeadm.EtcdClientKeyFile},
	} {
		var id etcd.TLS
		var err error
		for i, to := range []*[]byte{&id.CA, &id.Cert, &id.Key} {
			if *to, err = h.ReadFile(files[i]); err != nil {
				break
			}
		}
		if err == nil {
			return id, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return etcd.TLS{}, fmt.Errorf("the host's certificates for etcd: %w", err)
		}
	}
	return etcd.TLS{}, host.WithHint(errNoLogin, "only control planes and etcd members have, and those of other tools may have them elsewhere")
}
