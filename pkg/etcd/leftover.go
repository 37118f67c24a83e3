package etcd

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Find lists the members that a person may mean by a text: a peer URL, an address with or
// without a port, a name, or an ID as etcdctl prints it (hexadecimal). It is pure. More than
// one means that the text is ambiguous.
func Find(members []Member, text string) []Member {
	id, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
	isID := err == nil
	var out []Member
	for _, m := range members {
		if isID && m.ID == id || m.Name != "" && m.Name == text || slices.ContainsFunc(m.PeerURLs, func(u string) bool { return isAt(u, text) }) {
			out = append(out, m)
		}
	}
	return out
}

// isAt tells whether a peer URL is meant by a URL, an address, or an address with a port.
func isAt(peerURL, text string) bool {
	if sameURL(peerURL, text) {
		return true
	}
	u, err := url.Parse(peerURL)
	if err != nil {
		return false
	}
	if sameHost(u.Hostname(), text) {
		return true
	}
	if strings.Contains(text, "://") {
		return false
	}
	return sameURL(peerURL, u.Scheme+"://"+text)
}

// sameHost compares two addresses as read, or two names.
func sameHost(a, b string) bool {
	p, errP := netip.ParseAddr(strings.Trim(a, "[]"))
	q, errQ := netip.ParseAddr(strings.Trim(b, "[]"))
	if errP == nil && errQ == nil {
		return p == q
	}
	return a != "" && a == b
}

// AddressOf is the address or host name of what a person names a member by: a URL, an
// address, or an address with a port. Empty when it is something else, such as a name.
func AddressOf(text string) string {
	if !strings.Contains(text, "://") {
		if at, err := netip.ParseAddrPort(text); err == nil {
			return at.Addr().String()
		}
		if at, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
			return at.String()
		}
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Owner names the host whose member it is; empty when it is no host's. hosts maps names to
// addresses. A member is a host's when it is at its address; or when it has its name, and no
// other member is at its address. So a host that came anew under an old name does not keep the
// old one's member, and one whose peers use another network keeps its own. It is pure.
func Owner(members []Member, hosts map[string]string, m Member) string {
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		if m.at(hosts[name]) {
			return name
		}
	}
	address, ok := hosts[m.Name]
	if m.Name == "" || !ok || slices.ContainsFunc(members, func(o Member) bool { return o.at(address) }) {
		return ""
	}
	return m.Name
}

// Unplaced are the hosts, by name, whose member can't be told: their address is a name, as in
// a cluster that was adopted, and no member is at it. One of the members that seem to be no
// host's may be theirs. It is pure.
func Unplaced(members []Member, hosts map[string]string) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		address := hosts[name]
		if _, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil || address == "" {
			continue
		}
		if !slices.ContainsFunc(members, func(m Member) bool { return m.at(address) || m.Name == name }) {
			out = append(out, name)
		}
	}
	return out
}

func (m Member) at(address string) bool {
	return slices.ContainsFunc(m.PeerURLs, func(u string) bool {
		parsed, err := url.Parse(u)
		return err == nil && sameHost(parsed.Hostname(), address)
	})
}

// String names a member so that Find finds it alone: by its first peer URL, with its name
// where it has told one.
func (m Member) String() string {
	text := m.Handle()
	if m.Name != "" {
		text = m.Name + " at " + text
	}
	return text
}

// Handle is what Find finds this member by: its first peer URL, or its ID where it has none.
func (m Member) Handle() string {
	if len(m.PeerURLs) > 0 {
		return m.PeerURLs[0]
	}
	return fmt.Sprintf("%x", m.ID)
}

// CanDrop says why a member that is no host's must stay; nil when it may go. One that votes
// and answers is in use, whoever it belongs to. A learner has no vote, so that it costs
// nothing. For the rest see CanRemove. It is pure.
func CanDrop(v View, m Member) error {
	if !m.Learner && slices.ContainsFunc(v.Status, func(s MemberStatus) bool { return s.Err == nil && s.ID == m.ID }) {
		return errors.New("it votes, and it answers")
	}
	return CanRemove(v, m.ID)
}

// IsTooManyLearners tells whether etcd has refused a learner because of another one.
func IsTooManyLearners(err error) bool { return errors.Is(err, rpctypes.ErrTooManyLearners) }
