package etcdmember

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

func learner(id uint64, name, address string) etcd.Member {
	m := member(id, name, address)
	m.Learner = true
	return m
}

func answering(ids ...uint64) (out []etcd.MemberStatus) {
	for _, id := range ids {
		out = append(out, etcd.MemberStatus{ID: id, Leader: 2})
	}
	return out
}

func TestDropChoose(t *testing.T) {
	hosts := map[string]string{"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}
	three := []etcd.Member{member(1, "a", "10.0.0.1"), member(2, "b", "10.0.0.2"), member(3, "c", "10.0.0.3")}
	with := func(m ...etcd.Member) []etcd.Member { return append(slices.Clone(three), m...) }
	for _, tt := range []struct {
		name, text string
		view       etcd.View
		found      bool
		want       string
		hint       string
	}{
		{"a learner that was never started", "https://10.0.0.4:2380", etcd.View{Members: with(learner(4, "", "10.0.0.4")), Status: answering(1, 2, 3)}, true, "", ""},
		{"by its ID", "4", etcd.View{Members: with(learner(4, "", "10.0.0.4")), Status: answering(1, 2, 3)}, true, "", ""},
		{"a learner that was started, by its name", "d", etcd.View{Members: with(learner(4, "d", "10.0.0.4")), Status: answering(1, 2, 3, 4)}, true, "", ""},
		{"a learner while a member is away", "10.0.0.4", etcd.View{Members: with(learner(4, "", "10.0.0.4")), Status: answering(1, 2)}, true, "", ""},
		{"a voter that was never started", "10.0.0.4", etcd.View{Members: with(member(4, "", "10.0.0.4")), Status: answering(1, 2, 3)}, true, "", ""},
		{"a voter that is away", "d", etcd.View{Members: with(member(4, "d", "10.0.0.4")), Status: answering(1, 2, 3)}, true, "", ""},
		{"a voter that answers", "d", etcd.View{Members: with(member(4, "d", "10.0.0.4")), Status: answering(1, 2, 3, 4)}, true, "it votes, and it answers", "node add"},
		{"a voter without which there is no quorum", "d", etcd.View{Members: with(member(4, "d", "10.0.0.4")), Status: answering(1, 2)}, true, "no quorum", "bring other members back"},
		{"a host's", "a", etcd.View{Members: three, Status: answering(1, 2, 3)}, true, "is that of a", "kubectl ha node remove a"},
		{"a host's, by its address", "https://10.0.0.3:2380", etcd.View{Members: three, Status: answering(1, 2)}, true, "is that of c", "kubectl ha node remove c"},
		{"two of a name", "c", etcd.View{Members: with(member(4, "c", "10.0.0.4")), Status: answering(1, 2, 3)}, false, "3 (c at https://10.0.0.3:2380), 4 (c at https://10.0.0.4:2380)", "by its ID"},
		{"the other one of a name", "10.0.0.4", etcd.View{Members: with(member(4, "c", "10.0.0.4")), Status: answering(1, 2, 3)}, true, "", ""},
		{"gone already", "https://10.0.0.4:2380", etcd.View{Members: three, Status: answering(1, 2, 3)}, false, "", ""},
		{"nobody tells", "d", etcd.View{MembersErr: errors.New("no leader")}, false, "can't be asked for", "quorum"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, found, err := DropSpec{Member: tt.text, Hosts: hosts}.choose(tt.view)
			if found != tt.found || tt.found && len(etcd.Find([]etcd.Member{m}, tt.text)) != 1 {
				t.Errorf("found %v, %s", found, m)
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(host.Hint(err), tt.hint)) {
				t.Errorf("%v (%s), want %q (%q)", err, host.Hint(err), tt.want, tt.hint)
			}
		})
	}
}

// In a cluster that was adopted etcd's hosts may go by names: a member of theirs that is away is
// not taken for one of nobody. One that was never started is nobody's.
func TestDropOfHostsWithNames(t *testing.T) {
	list := []etcd.Member{member(1, "infra0", "10.0.0.1"), member(2, "infra1", "10.0.0.2"), member(3, "infra2", "10.0.0.3"), learner(4, "", "10.0.0.4")}
	hosts := map[string]string{"cp1": "10.0.0.9", "etcd1": "etcd-0.example.com", "etcd2": "etcd-1.example.com", "etcd3": "etcd-2.example.com"}
	v := etcd.View{Members: list, Status: answering(1, 2)}
	_, _, err := DropSpec{Member: "https://10.0.0.3:2380", Hosts: hosts}.choose(v)
	if err == nil || !strings.Contains(err.Error(), "etcd1, etcd2, etcd3") || !strings.Contains(host.Hint(err), "etcdctl member remove 3") {
		t.Errorf("a member that is away: %v (%s)", err, host.Hint(err))
	}
	if _, found, err := (DropSpec{Member: "https://10.0.0.4:2380", Hosts: hosts}).choose(v); !found || err != nil {
		t.Errorf("a learner that was never started: %v, %v", found, err)
	}
}

// TestStatesOfAJoin: whenever a node add stops between its learner and the document, there is a
// way on by running it again on a host that lives, and a way back when the host is lost. The
// document does not have the host in any of them: what comes after is node remove's
// (TestEveryStateHasAWayOut of pkg/incluster/nodes).
func TestStatesOfAJoin(t *testing.T) {
	others := []etcd.Member{member(2, "b", "10.0.0.2"), member(3, "c", "10.0.0.3")}
	hosts := map[string]string{"b": "10.0.0.2", "c": "10.0.0.3"}
	for _, tt := range []struct {
		name    string
		own     []etcd.Member
		hasData bool
		// on is why running it again is refused, back why the member can't be taken out once the
		// host is away; empty when they go.
		on, back string
	}{
		{"nothing was added", nil, false, "", ""},
		{"the learner was added", []etcd.Member{learner(1, "", "10.0.0.1")}, false, "", ""},
		{"etcd has begun, and told nobody its name", []etcd.Member{learner(1, "", "10.0.0.1")}, true, "", ""},
		{"the learner gets the data", []etcd.Member{learner(1, "a", "10.0.0.1")}, true, "", ""},
		{"it votes", []etcd.Member{member(1, "a", "10.0.0.1")}, true, "", ""},
		// The host was made anew meanwhile: back, then on.
		{"the learner's data is gone", []etcd.Member{learner(1, "a", "10.0.0.1")}, false, "--etcd-member https://10.0.0.1:2380", ""},
		{"the voter's data is gone", []etcd.Member{member(1, "a", "10.0.0.1")}, false, "--etcd-member https://10.0.0.1:2380", ""},
		// It was taken out, and the host is back.
		{"its data is there, and no member", nil, true, "kubectl ha uninstall", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list := append(slices.Clone(others), tt.own...)
			m, known := etcd.At(list, httpsURL("10.0.0.1", PeerPort))
			err := testSpec().mayEnter(list, m, known, tt.hasData)
			if err == nil {
				_, err = testSpec().listed(list)
			}
			if tt.on == "" && err != nil || tt.on != "" && (err == nil || !strings.Contains(host.Hint(err), tt.on)) {
				t.Errorf("on: %v (%s), want %q", err, host.Hint(err), tt.on)
			}
			_, found, err := DropSpec{Member: "https://10.0.0.1:2380", Hosts: hosts}.choose(etcd.View{Members: list, Status: answering(2, 3)})
			if found != known || tt.back == "" && err != nil {
				t.Errorf("back: found %v, %v", found, err)
			}
			// Another host, meanwhile: it is told of what is in its way.
			another := testSpec()
			another.Name, another.Address = "e", "10.0.0.5"
			_, err = another.listed(list)
			if unnamed := known && m.Name == ""; unnamed != (err != nil) || unnamed && !strings.Contains(host.Hint(err), "--etcd-member https://10.0.0.1:2380") {
				t.Errorf("another host: %v (%s)", err, host.Hint(err))
			}
		})
	}
}

// A learner that has told its name is in nobody's list of refusals but etcd's own.
func TestNoLearner(t *testing.T) {
	list := []etcd.Member{member(2, "b", "10.0.0.2"), learner(1, "d", "10.0.0.4")}
	if hint := host.Hint(noLearner(fmt.Errorf("add: %w", rpctypes.ErrTooManyLearners), list)); !strings.Contains(hint, "d at https://10.0.0.4:2380") || !strings.Contains(hint, "kubectl ha node remove --etcd-member https://10.0.0.4:2380") {
		t.Error(hint)
	}
	if hint := host.Hint(noLearner(errors.New("unhealthy cluster"), list)); strings.Contains(hint, "--etcd-member") {
		t.Error(hint)
	}
}
