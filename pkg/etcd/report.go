package etcd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Report is a View as it is shown and handed on: each member once, whether it answers, is only
// listed, or both.
type Report struct {
	// ClusterID is etcd's own, in hex; empty when no member answers.
	ClusterID string         `json:"clusterID,omitempty"`
	Members   []MemberReport `json:"members"`
	// ListError says why there is no list of members: without a quorum nobody can tell.
	ListError string `json:"listError,omitempty"`
	// Quorum tells whether enough members answer and agree on a leader to accept writes, Spare
	// how many more may be lost then.
	Quorum bool `json:"quorum"`
	Spare  int  `json:"spare"`
	// Unwell is everything that is not as it should be, in one line; empty when all is.
	Unwell string `json:"unwell,omitempty"`
}

// MemberReport is one member.
type MemberReport struct {
	// Name is empty for one that was never started.
	Name string `json:"name,omitempty"`
	// ID is hexadecimal, as etcdctl prints it; empty for an endpoint that does not answer and
	// that the list has not.
	ID         string   `json:"id,omitempty"`
	PeerURLs   []string `json:"peerURLs,omitempty"`
	ClientURLs []string `json:"clientURLs,omitempty"`
	// Endpoint is where it was asked; empty when it is only listed.
	Endpoint string `json:"endpoint,omitempty"`
	// Listed: the cluster's own list has it. Started: it ever served.
	Listed  bool `json:"listed"`
	Started bool `json:"started"`
	Leader  bool `json:"leader,omitempty"`
	Learner bool `json:"learner,omitempty"`
	// Version such as 3.6.16; StorageVersion such as 3.6.0, which members of before 3.6 do not tell.
	Version        string `json:"version,omitempty"`
	StorageVersion string `json:"storageVersion,omitempty"`
	DowngradeTo    string `json:"downgradeTo,omitempty"`
	// DBBytes is the size of the database's file; a defragmentation would free FreeBytes of it.
	// QuotaBytes is the most that it may take; 0 when that is not known.
	DBBytes    int64 `json:"dbBytes,omitempty"`
	FreeBytes  int64 `json:"freeBytes,omitempty"`
	QuotaBytes int64 `json:"quotaBytes,omitempty"`
	// RaftIndex is the last entry that it knows to be committed, Applied the last that it has
	// applied. Lag is by how many entries it is behind the furthest of all.
	RaftIndex uint64 `json:"raftIndex,omitempty"`
	Applied   uint64 `json:"applied,omitempty"`
	Lag       uint64 `json:"lag"`
	// Alarms are NOSPACE or CORRUPT, raised by this member.
	Alarms []string `json:"alarms,omitempty"`
	// Error says why it did not answer.
	Error string `json:"error,omitempty"`
}

// FreeShare is which part of the database's file a defragmentation would free: 0 to 1.
func (m MemberReport) FreeShare() float64 {
	if m.DBBytes <= 0 {
		return 0
	}
	return float64(m.FreeBytes) / float64(m.DBBytes)
}

// Report is what was seen, member by member: those that were asked in their order, then those
// that are only listed. It is pure.
func (v View) Report() Report {
	r := Report{Members: []MemberReport{}}
	r.Quorum, r.Spare = HasQuorum(v)
	r.Spare = max(0, r.Spare)
	if v.MembersErr != nil {
		r.ListError = v.MembersErr.Error()
	}
	if err := Healthy(v); err != nil {
		r.Unwell = err.Error()
	}
	var furthest uint64
	for _, s := range v.Status {
		furthest = max(furthest, s.RaftIndex)
		if r.ClusterID == "" && s.ClusterID != 0 {
			r.ClusterID = fmt.Sprintf("%x", s.ClusterID)
		}
	}
	seen := map[uint64]bool{}
	for _, s := range v.Status {
		m := s.report(furthest)
		if i := slices.IndexFunc(v.Members, func(l Member) bool { return l.ID == s.ID && s.ID != 0 || slices.Contains(l.ClientURLs, s.Endpoint) }); i >= 0 {
			m.listed(v.Members[i])
			seen[v.Members[i].ID] = true
		}
		m.Alarms = alarmsOf(v.Status, s.ID)
		r.Members = append(r.Members, m)
	}
	for _, l := range v.Members {
		if !seen[l.ID] {
			m := MemberReport{}
			m.listed(l)
			r.Members = append(r.Members, m)
		}
	}
	return r
}

func (s MemberStatus) report(furthest uint64) MemberReport {
	m := MemberReport{Endpoint: s.Endpoint}
	if s.Err != nil {
		m.Error = s.Err.Error()
		return m
	}
	m.ID, m.Started = fmt.Sprintf("%x", s.ID), true
	m.Leader, m.Learner = s.ID != 0 && s.ID == s.Leader, s.Learner
	m.Version, m.StorageVersion, m.DowngradeTo = s.Version, s.StorageVersion, s.DowngradeTo
	m.DBBytes, m.FreeBytes, m.QuotaBytes = s.DBBytes, max(0, s.DBBytes-s.InUseBytes), s.QuotaBytes
	m.RaftIndex, m.Applied = s.RaftIndex, s.Applied
	if s.Applied < furthest {
		m.Lag = furthest - s.Applied
	}
	return m
}

func (m *MemberReport) listed(l Member) {
	m.Listed, m.Name, m.PeerURLs, m.ClientURLs = true, l.Name, l.PeerURLs, l.ClientURLs
	m.ID, m.Started, m.Learner = fmt.Sprintf("%x", l.ID), l.Started(), l.Learner || m.Learner
}

// Label names a member for people.
func (m MemberReport) Label() string { return cmp.Or(m.Name, m.Endpoint, m.ID) }

// View is what a Report was made of, as far as it is in it.
func (r Report) View() View {
	var v View
	if r.ListError != "" {
		v.MembersErr = errors.New(r.ListError)
	}
	cluster, leader := number(r.ClusterID), uint64(0)
	for _, m := range r.Members {
		if m.Leader {
			leader = number(m.ID)
		}
	}
	for _, m := range r.Members {
		id := number(m.ID)
		if m.Listed {
			v.Members = append(v.Members, Member{ID: id, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, Learner: m.Learner})
		}
		if m.Endpoint == "" {
			continue
		}
		s := MemberStatus{Endpoint: m.Endpoint, ClusterID: cluster, ID: id, Leader: leader, Version: m.Version, Learner: m.Learner, DBBytes: m.DBBytes,
			InUseBytes: m.DBBytes - m.FreeBytes, RaftIndex: m.RaftIndex, Applied: m.Applied, QuotaBytes: m.QuotaBytes, StorageVersion: m.StorageVersion, DowngradeTo: m.DowngradeTo}
		if m.Error != "" {
			s = MemberStatus{Endpoint: m.Endpoint, Err: errors.New(m.Error)}
		}
		for _, kind := range m.Alarms {
			s.Alarms = append(s.Alarms, Alarm{MemberID: id, Kind: kind})
		}
		v.Status = append(v.Status, s)
	}
	return v
}

// number reads an ID in hex; 0 of what is none.
func number(hex string) uint64 {
	n, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// alarmsOf are a member's own, whoever told of them.
func alarmsOf(status []MemberStatus, id uint64) []string {
	var out []string
	for _, s := range status {
		for _, a := range s.Alarms {
			if id != 0 && a.MemberID == id && !slices.Contains(out, a.Kind) {
				out = append(out, a.Kind)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Alarms are those that are raised in the cluster, each once.
func (v View) Alarms() []Alarm {
	var out []Alarm
	for _, s := range v.Status {
		for _, a := range s.Alarms {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// Serving is Healthy, but for alarms: NOSPACE stops writes, and is what a defragmentation is for.
func Serving(v View) error { return Healthy(v.without(func(Alarm) bool { return true })) }

// ButFull is Healthy, but for NOSPACE: what ends it may be another quota, for which members are
// restarted.
func ButFull(v View) error {
	return Healthy(v.without(func(a Alarm) bool { return a.Kind == AlarmNoSpace }))
}

// without leaves alarms out.
func (v View) without(these func(Alarm) bool) View {
	v.Status = slices.Clone(v.Status)
	for i := range v.Status {
		v.Status[i].Alarms = slices.DeleteFunc(slices.Clone(v.Status[i].Alarms), these)
	}
	return v
}
