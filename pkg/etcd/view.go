package etcd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// View is what was seen of a cluster at one moment.
type View struct {
	// Status has one entry per endpoint that was asked, in the order given to Connect.
	Status []MemberStatus
	// Members is the list that the cluster itself keeps. MembersErr says why
	// there is none: without quorum nobody can tell.
	Members    []Member
	MembersErr error
}

// MemberStatus is what one endpoint said of itself.
type MemberStatus struct {
	Endpoint  string
	ClusterID uint64
	// ID is the member's own, Leader the one whom it takes for the leader; 0 is nobody.
	ID, Leader uint64
	Version    string
	// Learner members do not vote.
	Learner bool
	// DBBytes is the size of the database's file, RaftIndex the last committed entry. Of the
	// file InUseBytes are in use; a defragmentation frees the rest.
	DBBytes, InUseBytes int64
	RaftIndex           uint64
	// Applied is the last entry that the member has applied.
	Applied uint64
	// QuotaBytes is the most that the database may take. StorageVersion is the version of what
	// is on the disk, such as 3.6.0; it follows the version of the cluster as a whole. Members
	// of before 3.6 tell neither: 0 and empty.
	QuotaBytes     int64
	StorageVersion string
	// DowngradeTo is the version of a downgrade that is under way, such as 3.6.0; empty: none.
	// Members of before 3.6 do not tell.
	DowngradeTo string
	// Alarms are those raised anywhere in the cluster, as this member knows them.
	Alarms []Alarm
	// Err is set when the endpoint did not answer; then nothing else is.
	Err error
}

// Alarm is raised by a member, and stops writes until it is disarmed.
type Alarm struct {
	MemberID uint64
	// Kind is NOSPACE or CORRUPT.
	Kind string
}

// Member is an entry of the cluster's own list.
type Member struct {
	ID                   uint64
	Name                 string
	PeerURLs, ClientURLs []string
	Learner              bool
}

// Started tells whether the member ever served: only then does it publish its
// client URLs.
func (m Member) Started() bool { return len(m.ClientURLs) > 0 }

// Quorum is how many of n voting members must agree.
func Quorum(n int) int { return n/2 + 1 }

// SpareWhileAdding is how many of n voting members may be away when another one is
// added: etcd's strict reconfiguration check wants those that are there to be a quorum
// of the enlarged cluster. None of three, one of five.
// https://github.com/etcd-io/etcd/blob/v3.6.16/server/etcdserver/util.go (isConnectedToQuorumAfterAddingNewMemberSince)
func SpareWhileAdding(n int) int { return max(0, n-Quorum(n+1)) }

// Tolerated is how many of n voting members may be lost.
func Tolerated(n int) int { return n - Quorum(n) }

// Healthy judges a cluster of which every member was asked: each endpoint
// answers, is a voting member of one and the same cluster, all agree on one
// leader that is among them, the list has nobody else, and no alarm is raised.
// The error names everything that is wrong.
func Healthy(v View) error {
	if len(v.Status) == 0 {
		return errors.New("no etcd endpoint was asked")
	}
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	ids := map[uint64]string{}
	for _, s := range v.Status {
		switch {
		case s.Err != nil:
			say("%s does not answer: %v", s.Endpoint, s.Err)
			continue
		case s.ID == 0:
			say("%s does not say which member it is", s.Endpoint)
			continue
		case ids[s.ID] != "":
			say("%s and %s are the same member", ids[s.ID], s.Endpoint)
		case s.Learner:
			say("%s is a learner, it does not vote", s.Endpoint)
		case s.Leader == 0:
			say("%s knows no leader", s.Endpoint)
		}
		ids[s.ID] = s.Endpoint
	}
	wrong = append(wrong, agreement(v.Status, ids)...)
	wrong = append(wrong, membership(v, ids)...)
	wrong = append(wrong, alarms(v.Status, ids)...)
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// agreement compares what the members that answer say of cluster and leader.
func agreement(status []MemberStatus, ids map[uint64]string) []string {
	var wrong []string
	var first *MemberStatus
	for i, s := range status {
		if s.Err != nil || s.ID == 0 {
			continue
		}
		if first == nil {
			first = &status[i]
			if s.Leader != 0 && ids[s.Leader] == "" {
				wrong = append(wrong, fmt.Sprintf("%s follows the leader %x, which is at none of the endpoints", s.Endpoint, s.Leader))
			}
			continue
		}
		if s.ClusterID != first.ClusterID {
			wrong = append(wrong, fmt.Sprintf("%s is in the cluster %x, %s in %x", first.Endpoint, first.ClusterID, s.Endpoint, s.ClusterID))
		} else if s.Leader != first.Leader && s.Leader != 0 && first.Leader != 0 {
			wrong = append(wrong, fmt.Sprintf("%s follows the leader %x, %s follows %x", first.Endpoint, first.Leader, s.Endpoint, s.Leader))
		}
	}
	return wrong
}

// membership compares the cluster's own list with who was asked.
func membership(v View, ids map[uint64]string) []string {
	if v.MembersErr != nil {
		return []string{fmt.Sprintf("the list of members can't be read: %v", v.MembersErr)}
	}
	var wrong []string
	listed := map[uint64]bool{}
	for _, m := range v.Members {
		listed[m.ID] = true
		switch {
		case !m.Started():
			wrong = append(wrong, fmt.Sprintf("the member %s was never started", m.label()))
		case ids[m.ID] == "" && answeredAll(v.Status):
			wrong = append(wrong, fmt.Sprintf("the member %s is at none of the endpoints", m.label()))
		case m.Learner && ids[m.ID] == "":
			wrong = append(wrong, fmt.Sprintf("the member %s is a learner", m.label()))
		}
	}
	for _, s := range v.Status {
		if s.Err == nil && s.ID != 0 && !listed[s.ID] {
			wrong = append(wrong, fmt.Sprintf("%s (%x) is not in the list of members", s.Endpoint, s.ID))
		}
	}
	return wrong
}

func answeredAll(status []MemberStatus) bool {
	return !slices.ContainsFunc(status, func(s MemberStatus) bool { return s.Err != nil })
}

func (m Member) label() string {
	if m.Name != "" {
		return m.Name
	}
	return fmt.Sprintf("%x (%s)", m.ID, strings.Join(m.PeerURLs, ", "))
}

// alarms lists each alarm once, whoever told of it.
func alarms(status []MemberStatus, ids map[uint64]string) []string {
	var wrong []string
	for _, s := range status {
		for _, a := range s.Alarms {
			where := ids[a.MemberID]
			if where == "" {
				where = fmt.Sprintf("the member %x", a.MemberID)
			}
			text := fmt.Sprintf("%s has raised the alarm %s", where, a.Kind)
			if !slices.Contains(wrong, text) {
				wrong = append(wrong, text)
			}
		}
	}
	return wrong
}

// Spare tells whether the cluster goes on without the member at an endpoint for
// a while, as when it is restarted. One that does not answer is of no use to it.
// Of one or two members none can ever be spared, so that it is enough that the
// other is well.
func Spare(v View, endpoint string) error {
	others := View{Members: v.Members}
	for _, s := range v.Status {
		switch {
		case s.Endpoint != endpoint:
			others.Status = append(others.Status, s)
		case s.Err != nil:
			return nil
		}
	}
	if v.MembersErr != nil {
		return fmt.Errorf("the list of members can't be read: %w", v.MembersErr)
	}
	switch len(v.Members) {
	case 1:
		return nil
	case 2:
		return ButFull(v)
	}
	if ok, _ := HasQuorum(others); ok {
		return nil
	}
	var wrong []string
	for _, s := range others.Status {
		if s.Err != nil {
			wrong = append(wrong, fmt.Sprintf("%s does not answer: %v", s.Endpoint, s.Err))
		}
	}
	return errors.New("without it there is no quorum; " + cmp.Or(strings.Join(wrong, "; "), "the others agree on no leader"))
}

// HasQuorum tells whether enough of the listed voting members answer and agree
// on a leader to accept writes, and how many more may be lost.
func HasQuorum(v View) (ok bool, spare int) {
	voters := map[uint64]bool{}
	for _, m := range v.Members {
		if !m.Learner {
			voters[m.ID] = true
		}
	}
	agree := map[uint64]int{}
	most := 0
	for _, s := range v.Status {
		if s.Err == nil && s.Leader != 0 && voters[s.ID] {
			agree[s.Leader]++
			most = max(most, agree[s.Leader])
		}
	}
	need := Quorum(len(voters))
	return len(voters) > 0 && most >= need, most - need
}

// Joined tells whether the member at an endpoint votes and follows the leader of a
// quorum, however many others are away.
func Joined(v View, endpoint string) error {
	if v.MembersErr != nil {
		return fmt.Errorf("the list of members can't be read: %w", v.MembersErr)
	}
	for _, s := range v.Status {
		if s.Endpoint != endpoint {
			continue
		}
		if s.Err != nil {
			return fmt.Errorf("%s does not answer: %w", endpoint, s.Err)
		}
		votes := slices.ContainsFunc(v.Members, func(m Member) bool { return m.ID == s.ID && !m.Learner })
		switch ok, _ := HasQuorum(v); {
		case !votes:
			return fmt.Errorf("%s has no vote yet", endpoint)
		case s.Leader == 0:
			return fmt.Errorf("%s follows no leader", endpoint)
		case !ok:
			return errors.New("too few members answer and agree on a leader")
		}
		return nil
	}
	return fmt.Errorf("%s was not asked", endpoint)
}
