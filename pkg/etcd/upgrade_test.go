package etcd

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// at is a cluster of three members of some versions, that is well; the first leads.
func at(versions ...string) View {
	var v View
	for i, version := range versions {
		id := uint64(i + 1)
		url := "https://10.0.0.1" + string(rune('1'+i)) + ":2379"
		s := MemberStatus{Endpoint: url, ClusterID: 9, ID: id, Leader: 1, Version: version, DBBytes: 100, InUseBytes: 60}
		if p, err := ParseVersion(version); err == nil && p.Minor() >= 6 {
			s.StorageVersion = MinorOf(version) + ".0"
		}
		v.Status = append(v.Status, s)
		v.Members = append(v.Members, Member{ID: id, Name: "m" + string(rune('1'+i)), PeerURLs: []string{"https://10.0.0.1" + string(rune('1'+i)) + ":2380"}, ClientURLs: []string{url}})
	}
	return v
}

func TestRounds(t *testing.T) {
	for name, tc := range map[string]struct {
		have   []string
		target string
		via    []string
		want   string // joined; empty for an error
		says   string
	}{
		"a patch release":               {[]string{"3.6.11", "3.6.11"}, "v3.6.16", nil, "v3.6.16", ""},
		"one minor version":             {[]string{"3.5.35"}, "3.6.16", nil, "v3.6.16", ""},
		"two, with the one between":     {[]string{"3.5.35"}, "v3.7.3", []string{"3.6.16"}, "v3.6.16 v3.7.3", ""},
		"in the middle of it":           {[]string{"3.6.16", "3.5.35"}, "v3.7.3", []string{"v3.6.16"}, "v3.6.16 v3.7.3", ""},
		"one between is not needed":     {[]string{"3.6.16"}, "v3.7.3", []string{"v3.6.16"}, "v3.7.3", ""},
		"two, without the one between":  {[]string{"3.5.35"}, "v3.7.3", nil, "", "the way to v3.7.3 is over 3.6"},
		"back":                          {[]string{"3.6.16"}, "v3.5.35", nil, "", "newer than v3.5.35"},
		"one that is newer already":     {[]string{"3.6.16", "3.7.3"}, "v3.6.16", nil, "", "etcd's downgrade"},
		"no version":                    {[]string{"3.6.16"}, "latest", nil, "", "is not a version of etcd"},
		"of Kubernetes":                 {[]string{"3.6.16"}, "v1.36.3", nil, "", "is not a version of etcd"},
		"too new for this program":      {[]string{"3.7.3"}, "v3.8.0", nil, "", "from 3.5 to 3.7"},
		"a member that is much too old": {[]string{"3.4.3"}, "v3.6.16", nil, "", "bring it to 3.5 by hand"},
	} {
		got, err := Rounds(tc.have, tc.target, tc.via)
		if strings.Join(got, " ") != tc.want || (err == nil) != (tc.want != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestCheckUpgrade: what upstream wants of every member before the first one goes.
func TestCheckUpgrade(t *testing.T) {
	for name, tc := range map[string]struct {
		v      View
		target string
		spoil  func(*View)
		want   []string // each in one problem, in order
	}{
		"from the floor":               {at("3.5.26", "3.5.35", "3.5.35"), "v3.6.16", nil, nil},
		"zombie members":               {at("3.5.25", "3.5.35", "3.5.25"), "v3.6.16", nil, []string{"10.0.0.11:2379 has 3.5.25: before 3.6 every member has to have 3.5.26", "10.0.0.13:2379 has 3.5.25"}},
		"to the floor":                 {at("3.5.25", "3.5.25", "3.5.25"), "v3.5.35", nil, nil},
		"3.7 before 3.6.11":            {at("3.6.10", "3.6.16", "3.6.16"), "v3.7.3", nil, []string{"3.6.11 or later"}},
		"3.7":                          {at("3.6.11", "3.6.16", "3.6.16"), "v3.7.3", nil, nil},
		"in the middle":                {at("3.6.16", "3.5.35", "3.5.35"), "v3.6.16", func(v *View) { v.Status[0].StorageVersion = "3.5.0" }, nil},
		"two minor versions":           {at("3.5.35", "3.5.35", "3.5.35"), "v3.7.3", nil, []string{"more than one minor version up", "more than one", "more than one"}},
		"back":                         {at("3.6.16", "3.6.16", "3.6.16"), "v3.5.35", nil, []string{"newer than", "newer than", "newer than"}},
		"a learner":                    {at("3.5.35", "3.5.35", "3.5.35"), "v3.6.16", func(v *View) { v.Members[2].Learner, v.Status[2].Learner = true, true }, []string{"is a learner"}},
		"an alarm":                     {at("3.5.35", "3.5.35", "3.5.35"), "v3.6.16", func(v *View) { v.Status[0].Alarms = []Alarm{{MemberID: 2, Kind: "NOSPACE"}} }, []string{"alarm NOSPACE"}},
		"a member that is away":        {at("3.5.35", "3.5.35", "3.5.35"), "v3.6.16", func(v *View) { v.Status[1] = MemberStatus{Endpoint: "https://b", Err: errors.New("gone")} }, []string{"etcd is not well"}},
		"the storage has not followed": {at("3.6.16", "3.6.16", "3.6.16"), "v3.7.3", func(v *View) { v.Status[1].StorageVersion = "3.5.0" }, []string{"still stores as 3.5.0 does"}},
		"a downgrade is under way":     {at("3.6.16", "3.6.16", "3.6.16"), "v3.6.16", func(v *View) { v.Status[1].DowngradeTo = "3.5.0" }, []string{"a downgrade to 3.5.0 is under way"}},
		"no version":                   {at("3.6.16"), "newest", nil, []string{"is not a version"}},
	} {
		if tc.spoil != nil {
			tc.spoil(&tc.v)
		}
		got := CheckUpgrade(tc.v, tc.target)
		if len(got) != len(tc.want) {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		for i, want := range tc.want {
			if !strings.Contains(got[i].Message, want) || got[i].Next == "" {
				t.Errorf("%s: %+v, want %q", name, got[i], want)
			}
		}
	}
}

func TestCheckDowngrade(t *testing.T) {
	for name, tc := range map[string]struct {
		v      View
		target string
		want   string
	}{
		"one minor version":    {at("3.6.16", "3.6.16", "3.6.16"), "v3.5.35", ""},
		"in the middle of it":  {at("3.6.16", "3.5.35", "3.5.35"), "v3.5.35", ""},
		"two":                  {at("3.7.3", "3.7.3", "3.7.3"), "v3.5.35", "one minor version at a time"},
		"up":                   {at("3.6.16", "3.6.16", "3.6.16"), "v3.7.3", "one minor version at a time"},
		"before etcd could":    {at("3.5.35", "3.5.35", "3.5.35"), "v3.4.9", "3.5 at least"},
		"no version of etcd's": {at("3.6.16"), "3", "is not a version"},
	} {
		got := CheckDowngrade(tc.v, tc.target)
		if tc.want == "" && len(got) > 0 || tc.want != "" && (len(got) == 0 || !strings.Contains(got[0].Message, tc.want)) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	other := at("3.7.3", "3.7.3", "3.7.3")
	other.Status[0].DowngradeTo = "3.5.0"
	if got := CheckDowngrade(other, "v3.6.16"); len(got) != 1 || !strings.Contains(got[0].Next, "--cancel") {
		t.Errorf("another downgrade is under way: %+v", got)
	}
}

func TestSettledAndMoved(t *testing.T) {
	good := at("3.6.16", "3.6.16", "3.6.16")
	if err := Settled(good, "v3.6.16"); err != nil {
		t.Error(err)
	}
	if err := Settled(at("3.5.35", "3.5.35"), "v3.5.35"); err != nil {
		t.Errorf("members that tell no storage version: %v", err)
	}
	for want, spoil := range map[string]func(*View){
		"does not answer":        func(v *View) { v.Status[1] = MemberStatus{Endpoint: "b", Err: errors.New("x")} },
		"has 3.5.35, not 3.6.16": func(v *View) { v.Status[1].Version = "3.5.35" },
		"still stores as 3.5.0":  func(v *View) { v.Status[1].StorageVersion = "3.5.0" },
		"the downgrade to 3.5.0": func(v *View) { v.Status[2].DowngradeTo = "3.5.0" },
		"does not tell as which": func(v *View) { v.Status[2].StorageVersion = "" },
	} {
		v := at("3.6.16", "3.6.16", "3.6.16")
		spoil(&v)
		if err := Settled(v, "v3.6.16"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	middle := at("3.6.16", "3.5.35", "3.5.35")
	middle.Status[0].StorageVersion = "3.5.0"
	for name, tc := range map[string]struct {
		v      View
		member string
		moved  bool
	}{
		"in the middle":          {middle, "v3.5.35", false},
		"all are there":          {good, "v3.5.35", true},
		"within a minor version": {good, "v3.6.11", false},
		"replaced":               {good, "v3.6.16-replaced", false},
		"no version":             {good, "?", false},
	} {
		if got := Moved(tc.v, tc.member); got != tc.moved {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestOrder: who leads comes last, and who takes over is one that is done.
func TestOrder(t *testing.T) {
	v := at("3.6.16", "3.6.16", "3.6.16")
	var got []string
	for _, turn := range PlanDefrag(v, 0.3) {
		got = append(got, turn.Endpoint)
		if turn.Skip != "" || turn.Leader != (turn.Endpoint == v.Status[0].Endpoint) {
			t.Errorf("%+v", turn)
		}
	}
	if want := []string{v.Status[1].Endpoint, v.Status[2].Endpoint, v.Status[0].Endpoint}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, turn := range PlanDefrag(v, 0.5) {
		if turn.Skip == "" {
			t.Errorf("40%% are less than 50%%: %+v", turn)
		}
	}
	v.Status[1].InUseBytes = 100
	if PlanDefrag(v, 0)[0].Skip == "" {
		t.Error("nothing is to be freed, and it is not left out")
	}
	for name, tc := range map[string]struct {
		prefer []string
		spoil  func(*View)
		want   uint64
	}{
		"one that is preferred":  {[]string{v.Status[2].Endpoint}, nil, 3},
		"none is":                {nil, nil, 2},
		"a learner can't":        {nil, func(v *View) { v.Status[1].Learner = true }, 3},
		"one that is away can't": {[]string{v.Status[1].Endpoint}, func(v *View) { v.Status[1] = MemberStatus{Endpoint: v.Status[1].Endpoint, Err: errors.New("x")} }, 3},
		"there is nobody else":   {nil, func(v *View) { v.Status = v.Status[:1] }, 0},
	} {
		v := at("3.6.16", "3.6.16", "3.6.16")
		if tc.spoil != nil {
			tc.spoil(&v)
		}
		if id, ok := heir(v, 1, tc.prefer); id != tc.want || ok != (tc.want != 0) {
			t.Errorf("%s: %d %v", name, id, ok)
		}
	}
}

func TestBelowFloor(t *testing.T) {
	for pair, want := range map[[2]string]string{
		{"3.5.24", "v3.6.8"}: "3.5.26", {"v3.5.26", "3.6.8"}: "", {"3.6.8", "3.7.0"}: "3.6.11", {"3.6.11", "3.7.0"}: "",
		{"3.6.6", "3.6.8"}: "", {"3.5.1", "3.7.0"}: "", {"", "3.6.8"}: "", {"3.6.8", "x"}: "",
	} {
		if got := BelowFloor(pair[0], pair[1]); got != want {
			t.Errorf("%s to %s: %q, want %q", pair[0], pair[1], got, want)
		}
	}
}
