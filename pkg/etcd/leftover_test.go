package etcd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// crowd is three hosts' members and a learner that was never started.
func crowd() []Member {
	out := []Member{{ID: 0xd, PeerURLs: []string{"https://[2001:db8::4]:2380"}, Learner: true}}
	for i, name := range []string{"cp1", "cp2", "cp3"} {
		out = append(out, Member{ID: uint64(i + 1), Name: name, PeerURLs: []string{fmt.Sprintf("https://10.0.0.%d:2380", i+11)}, ClientURLs: []string{"x"}})
	}
	return out
}

func TestFind(t *testing.T) {
	members := append(crowd(), Member{ID: 7, Name: "cp3", PeerURLs: []string{"https://10.0.0.19:2380", "https://old:2380"}})
	for text, want := range map[string]string{
		"https://[2001:db8::4]:2380": "d", "https://[2001:DB8:0::4]:2380": "d", "2001:db8:0::4": "d", "[2001:db8::4]": "d", "[2001:db8:0:0::4]:2380": "d",
		"d": "d", "0xd": "d", "000000000000000d": "d", "cp1": "1", "https://10.0.0.12:2380": "2", "10.0.0.12": "2", "10.0.0.12:2380": "2",
		"https://old:2380": "7", "old": "7", "cp3": "3 7",
		"https://10.0.0.12:2381": "", "10.0.0.12:1": "", "http://10.0.0.12:2380": "", "cp4": "", "": "", "10.0.0.1": "", "https://": "",
	} {
		var got []string
		for _, m := range Find(members, text) {
			got = append(got, fmt.Sprintf("%x", m.ID))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %q", text, got, want)
		}
	}
	for _, m := range members {
		if found := Find(members, m.Handle()); len(found) != 1 || found[0].ID != m.ID {
			t.Errorf("%s is not found by its own handle: %v", m, found)
		}
	}
	if m := (Member{ID: 0xbeef}); m.Handle() != "beef" {
		t.Errorf("without an address: %s", m.Handle())
	}
}

func TestAddressOf(t *testing.T) {
	for text, want := range map[string]string{
		"https://10.0.0.4:2380": "10.0.0.4", "https://[2001:db8::4]:2380": "2001:db8::4", "10.0.0.4": "10.0.0.4", "10.0.0.4:2380": "10.0.0.4",
		"[2001:db8::4]:2380": "2001:db8::4", "2001:db8::4": "2001:db8::4", "https://old:2380": "old", "cp4": "", "8e9e05c52164694d": "", "": "", "https://%zz": "",
	} {
		if got := AddressOf(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestOwner(t *testing.T) {
	hosts := map[string]string{"cp1": "10.0.0.11", "cp2": "10.0.0.12", "cp3": "10.0.0.13"}
	for _, tt := range []struct {
		name    string
		members []Member
		m       Member
		want    string
	}{
		{"its address", crowd(), crowd()[1], "cp1"},
		{"never started, and of no host", crowd(), crowd()[0], ""},
		{"never started, at a host's address", crowd(), Member{ID: 9, PeerURLs: []string{"https://10.0.0.12:2380"}}, "cp2"},
		{"the second URL", crowd(), Member{ID: 9, PeerURLs: []string{"https://x:2380", "https://10.0.0.12:2380"}}, "cp2"},
		{"a host that came anew under its old name", append(crowd(), Member{ID: 9, Name: "cp3", PeerURLs: []string{"https://10.0.0.99:2380"}}),
			Member{ID: 9, Name: "cp3", PeerURLs: []string{"https://10.0.0.99:2380"}}, ""},
		{"peers that speak over another network", []Member{{ID: 9, Name: "cp3", PeerURLs: []string{"https://192.168.0.3:2380"}}}, Member{ID: 9, Name: "cp3", PeerURLs: []string{"https://192.168.0.3:2380"}}, "cp3"},
		{"a name of nobody", crowd(), Member{ID: 9, Name: "cp4", PeerURLs: []string{"https://10.0.0.14:2380"}}, ""},
	} {
		if got := Owner(tt.members, hosts, tt.m); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	six := map[string]string{"e1": "2001:db8:0:0::4"}
	if got := Owner(crowd(), six, crowd()[0]); got != "e1" {
		t.Errorf("another spelling of its address: %q", got)
	}
}

// Hosts that go by names, and members that go by addresses, are not matched by guessing.
func TestUnplaced(t *testing.T) {
	members := append(crowd(), Member{ID: 9, Name: "infra0", PeerURLs: []string{"https://etcd-0.example.com:2380"}}, Member{ID: 10, Name: "infra1", PeerURLs: []string{"https://10.0.0.31:2380"}})
	got := Unplaced(members, map[string]string{"cp1": "10.0.0.11", "lost": "10.0.0.99", "six": "[2001:db8::7]", "node": "",
		"etcd1": "etcd-0.example.com", "etcd2": "etcd-1.example.com", "infra0": "etcd-7.example.com"})
	if strings.Join(got, " ") != "etcd2" {
		t.Errorf("got %v", got)
	}
}

func TestCanDrop(t *testing.T) {
	up := func(ids ...uint64) (out []MemberStatus) {
		for _, id := range ids {
			out = append(out, MemberStatus{ID: id, Leader: 1})
		}
		return append(out, MemberStatus{Err: errors.New("no answer")})
	}
	voters := func(n uint64) (out []Member) {
		for i := range n {
			out = append(out, Member{ID: i + 1})
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		list   []Member
		status []MemberStatus
		drop   Member
		want   string
	}{
		{"a learner that was never started", crowd(), up(1, 2, 3), crowd()[0], ""},
		{"a learner that answers", crowd(), up(1, 2, 3, 0xd), crowd()[0], ""},
		{"a learner beside a member that is away", crowd(), up(1, 2), crowd()[0], ""},
		{"a learner without a quorum", crowd(), up(1), crowd()[0], "there is no quorum"},
		{"a voter that answers", voters(4), up(1, 2, 3, 4), Member{ID: 4}, "it votes, and it answers"},
		{"a voter that is away", voters(4), up(1, 2, 3), Member{ID: 4}, ""},
		{"a voter that is away, beside another", voters(4), up(1, 2), Member{ID: 4}, "there is no quorum"},
		{"one of two", voters(2), up(1), Member{ID: 2}, "there is no quorum"},
		{"the only one", voters(1), up(), Member{ID: 1}, "the last member that votes"},
	} {
		err := CanDrop(View{Members: tt.list, Status: tt.status}, tt.drop)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// A learner that was never started keeps every other one out, and goes without a vote.
func TestRealLeftover(t *testing.T) {
	g := newGrown(t, realBinary(t), 1)
	c := g.connect(t, g.urls...)
	if _, err := c.WaitHealthy(t.Context(), time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	left, err := c.AddLearner(t.Context(), "https://"+freePort(t), time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	other := "https://" + freePort(t)
	if _, err := c.AddLearner(t.Context(), other, 10*time.Second, nil); !IsTooManyLearners(err) {
		t.Fatalf("another one beside it: %v", err)
	}
	v := c.View(t.Context())
	found := Find(v.Members, left.Handle())
	if len(found) != 1 || found[0].Started() || !found[0].Learner {
		t.Fatalf("it is listed as %+v", found)
	}
	if err := CanDrop(v, found[0]); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(t.Context(), found[0].ID, time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddLearner(t.Context(), other, 10*time.Second, nil); err != nil {
		t.Errorf("once it is gone: %v", err)
	}
}
