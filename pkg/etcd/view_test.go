package etcd

import (
	"errors"
	"strings"
	"testing"
)

// three is a healthy cluster of three, for each case to spoil.
func three() View {
	var v View
	for i, url := range []string{"https://a", "https://b", "https://c"} {
		id := uint64(i + 1)
		v.Status = append(v.Status, MemberStatus{Endpoint: url, ClusterID: 7, ID: id, Leader: 2, Version: "3.6.1"})
		v.Members = append(v.Members, Member{ID: id, Name: url[8:], ClientURLs: []string{url}, PeerURLs: []string{url + ":2380"}})
	}
	return v
}

func TestHealthy(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*View)
		want  []string // empty: healthy
	}{
		{"all well", func(*View) {}, nil},
		{"a single member", func(v *View) { v.Status, v.Members = v.Status[1:2], v.Members[1:2] }, nil},
		{"nobody asked", func(v *View) { v.Status = nil }, []string{"no etcd endpoint was asked"}},
		{"one away", func(v *View) { v.Status[2] = MemberStatus{Endpoint: "https://c", Err: errors.New("refused")} },
			[]string{"https://c does not answer: refused"}},
		{"leader away", func(v *View) { v.Status[1] = MemberStatus{Endpoint: "https://b", Err: errors.New("refused")} },
			[]string{"https://b does not answer", "follows the leader 2, which is at none of the endpoints"}},
		{"no leader", func(v *View) {
			for i := range v.Status {
				v.Status[i].Leader = 0
			}
		}, []string{"https://a knows no leader", "https://b knows no leader", "https://c knows no leader"}},
		{"one knows no leader", func(v *View) { v.Status[0].Leader = 0 }, []string{"https://a knows no leader"}},
		{"two leaders", func(v *View) { v.Status[2].Leader = 3 }, []string{"https://a follows the leader 2, https://c follows 3"}},
		{"foreign leader", func(v *View) {
			for i := range v.Status {
				v.Status[i].Leader = 9
			}
		}, []string{"which is at none of the endpoints"}},
		{"learner", func(v *View) { v.Status[0].Learner, v.Members[0].Learner = true, true }, []string{"https://a is a learner"}},
		{"two clusters", func(v *View) { v.Status[2].ClusterID = 8 }, []string{"https://a is in the cluster 7, https://c in 8"}},
		{"one asked twice", func(v *View) { v.Status[2].ID = 1 }, []string{"https://a and https://c are the same member", "the member c is at none"}},
		{"alarm told by all", func(v *View) {
			for i := range v.Status {
				v.Status[i].Alarms = []Alarm{{MemberID: 3, Kind: "NOSPACE"}}
			}
		}, []string{"https://c has raised the alarm NOSPACE"}},
		{"alarm of a stranger", func(v *View) { v.Status[0].Alarms = []Alarm{{MemberID: 0xab, Kind: "CORRUPT"}} },
			[]string{"the member ab has raised the alarm CORRUPT"}},
		{"member never started", func(v *View) {
			v.Members = append(v.Members, Member{ID: 4, PeerURLs: []string{"https://d:2380"}})
		}, []string{"the member 4 (https://d:2380) was never started"}},
		{"member not asked", func(v *View) {
			v.Members = append(v.Members, Member{ID: 4, Name: "d", ClientURLs: []string{"https://d"}})
		}, []string{"the member d is at none of the endpoints"}},
		{"not in the list", func(v *View) { v.Members = v.Members[:2] }, []string{"https://c (3) is not in the list of members"}},
		{"list can't be read", func(v *View) { v.Members, v.MembersErr = nil, errors.New("no quorum") }, []string{"the list of members can't be read: no quorum"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := three()
			tt.spoil(&v)
			err := Healthy(v)
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatalf("healthy, but judged: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatalf("judged healthy, want %q", tt.want)
			}
			for _, want := range tt.want {
				if strings.Count(err.Error(), want) != 1 {
					t.Errorf("judged %q, want %q once in it", err, want)
				}
			}
		})
	}
}

func TestQuorum(t *testing.T) {
	for _, tt := range []struct{ members, quorum, tolerated int }{{1, 1, 0}, {2, 2, 0}, {3, 2, 1}, {4, 3, 1}, {5, 3, 2}, {7, 4, 3}} {
		if got := Quorum(tt.members); got != tt.quorum {
			t.Errorf("Quorum(%d) = %d, want %d", tt.members, got, tt.quorum)
		}
		if got := Tolerated(tt.members); got != tt.tolerated {
			t.Errorf("Tolerated(%d) = %d, want %d", tt.members, got, tt.tolerated)
		}
	}
}

func TestHasQuorum(t *testing.T) {
	away := MemberStatus{Err: errors.New("refused")}
	tests := []struct {
		name  string
		spoil func(*View)
		ok    bool
		spare int
	}{
		{"all", func(*View) {}, true, 1},
		{"one away", func(v *View) { v.Status[0] = away }, true, 0},
		{"two away", func(v *View) { v.Status[0], v.Status[1] = away, away }, false, -1},
		{"a learner does not count", func(v *View) { v.Members[0].Learner = true }, true, 0},
		{"no agreement", func(v *View) { v.Status[0].Leader, v.Status[1].Leader, v.Status[2].Leader = 1, 2, 0 }, false, -1},
		{"no list", func(v *View) { v.Members = nil }, false, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := three()
			tt.spoil(&v)
			if ok, spare := HasQuorum(v); ok != tt.ok || spare != tt.spare {
				t.Errorf("HasQuorum = %v, %d, want %v, %d", ok, spare, tt.ok, tt.spare)
			}
		})
	}
}

func TestSpare(t *testing.T) {
	away := func(v *View, i int) {
		v.Status[i] = MemberStatus{Endpoint: v.Status[i].Endpoint, Err: errors.New("refused")}
	}
	tests := []struct {
		name  string
		spoil func(*View)
		want  string
	}{
		{"all well", func(*View) {}, ""},
		{"it is away itself", func(v *View) { away(v, 0) }, ""},
		{"all are away", func(v *View) { away(v, 0); away(v, 1); away(v, 2) }, ""},
		{"another is away", func(v *View) { away(v, 2) }, "https://c does not answer: refused"},
		{"both others are away", func(v *View) { away(v, 1); away(v, 2) }, "https://b does not answer: refused; https://c"},
		{"the others have no leader", func(v *View) { v.Status[1].Leader, v.Status[2].Leader = 0, 0 }, "agree on no leader"},
		{"another is a learner", func(v *View) { v.Members = append(v.Members, Member{ID: 4}); v.Members[2].Learner = true }, "no quorum"},
		{"no list", func(v *View) { v.Members, v.MembersErr = nil, errors.New("no quorum") }, "list of members"},
		{"alone", func(v *View) { v.Status, v.Members = v.Status[:1], v.Members[:1] }, ""},
		{"of two", func(v *View) { v.Status, v.Members = v.Status[:2], v.Members[:2] }, ""},
		{"of two, the other is away", func(v *View) { v.Status, v.Members = v.Status[:2], v.Members[:2]; away(v, 1) }, "https://b does not answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := three()
			tt.spoil(&v)
			err := Spare(v, "https://a")
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("judged %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSpareWhileAdding(t *testing.T) {
	for n, want := range map[int]int{1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 2, 7: 2} {
		if got := SpareWhileAdding(n); got != want {
			t.Errorf("%d of %d members may be away, want %d", got, n, want)
		}
	}
}

func TestJoined(t *testing.T) {
	members := []Member{{ID: 1}, {ID: 2}, {ID: 3}, {ID: 4, Learner: true}}
	up := func(id uint64, endpoint string) MemberStatus {
		return MemberStatus{ID: id, Leader: 1, Endpoint: endpoint}
	}
	away := MemberStatus{Endpoint: "c", Err: errors.New("no answer")}
	for _, tc := range []struct {
		name, endpoint string
		view           View
		want           string
	}{
		{"one is away", "b", View{Members: members, Status: []MemberStatus{up(1, "a"), up(2, "b"), away}}, ""},
		{"itself is away", "c", View{Members: members, Status: []MemberStatus{up(1, "a"), up(2, "b"), away}}, "does not answer"},
		{"a learner", "d", View{Members: members, Status: []MemberStatus{up(1, "a"), up(2, "b"), up(4, "d")}}, "no vote yet"},
		{"no leader", "b", View{Members: members, Status: []MemberStatus{up(1, "a"), {ID: 2, Endpoint: "b"}, up(3, "c")}}, "follows no leader"},
		{"no quorum", "b", View{Members: members, Status: []MemberStatus{up(2, "b"), away}}, "too few members"},
		{"no list", "b", View{MembersErr: errors.New("no leader")}, "can't be read"},
		{"nobody asked", "z", View{Members: members}, "was not asked"},
	} {
		err := Joined(tc.view, tc.endpoint)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
