package etcdmember

import (
	"context"
	"errors"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

func member(id uint64, name, address string) etcd.Member {
	m := etcd.Member{ID: id, Name: name, PeerURLs: []string{httpsURL(address, PeerPort)}}
	if name != "" {
		m.ClientURLs = []string{httpsURL(address, ClientPort)}
	}
	return m
}

func TestMayEnter(t *testing.T) {
	others := []etcd.Member{member(2, "b", "10.0.0.2")}
	for _, tt := range []struct {
		name    string
		list    []etcd.Member
		hasData bool
		want    string
	}{
		{"new", others, false, ""},
		{"known, not started yet", append(others, member(1, "", "10.0.0.1")), false, ""},
		{"runs already", append(others, member(1, "a", "10.0.0.1")), true, ""},
		{"lost its data", append(others, member(1, "a", "10.0.0.1")), false, "its data in /var/lib/etcd is gone"},
		{"was taken out", others, true, "was taken out"},
		{"its name is taken", append(others, member(3, "a", "10.0.0.9")), false, "another member called a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, known := etcd.At(tt.list, httpsURL("10.0.0.1", PeerPort))
			err := testSpec().mayEnter(tt.list, m, known, tt.hasData)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || host.Hint(err) == "") {
				t.Errorf("%v, want %q with a hint", err, tt.want)
			}
		})
	}
}

func TestListed(t *testing.T) {
	got, err := testSpec().listed([]etcd.Member{member(2, "b", "10.0.0.2"), member(1, "", "10.0.0.1")})
	if want := map[string]string{"a": "10.0.0.1", "b": "10.0.0.2"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if _, err := testSpec().listed([]etcd.Member{member(7, "", "10.0.0.7")}); err == nil || !strings.Contains(host.Hint(err), "kubectl ha node remove --etcd-member https://10.0.0.7:2380") {
		t.Errorf("a member without a name: %v, %s", err, host.Hint(err))
	}
	six := testSpec()
	six.Address = "2001:db8:0::1"
	if got, err := six.listed([]etcd.Member{member(1, "", "2001:db8::1")}); err != nil || got["a"] != "2001:db8::1" {
		t.Errorf("another spelling of its own address: %v, %v", got, err)
	}
	if _, err := testSpec().listed([]etcd.Member{{ID: 7}}); err == nil {
		t.Error("a member without an address was taken")
	}
}

// TestJoin: the host is made known before anything is written, the configuration
// has the members that etcd lists, and the end is its vote.
func TestJoin(t *testing.T) {
	m := newMachine(t)
	h := hosttest.Open(t, m.root, m)
	spec := testSpec()
	spec.New, spec.Join = false, true
	var asked []string
	p := probes{
		dial: func(context.Context, string) error { return nil },
		enter: func(_ context.Context, _ node.Env, s Spec, hasData bool) (Spec, bool, error) {
			asked = append(asked, "enter")
			if _, err := h.Stat(ConfigPath); !errors.Is(err, os.ErrNotExist) || hasData {
				t.Errorf("the configuration was there before: %v", err)
			}
			// One of those in the file has been lost.
			s.Members = map[string]string{"a": "10.0.0.1", "b": "10.0.0.2"}
			return s, true, nil
		},
		retreat: func(context.Context, node.Env, Spec) error { asked = append(asked, "retreat"); return nil },
		vote:    func(context.Context, node.Env, Spec) error { asked = append(asked, "vote"); return nil },
	}
	env := node.Env{Host: h, Progress: func(string, ...any) {}}
	if _, err := run(t.Context(), env, spec, p); err != nil {
		t.Fatal(err)
	}
	if strings.Join(asked, " ") != "enter vote" {
		t.Errorf("asked %v", asked)
	}
	raw, err := h.ReadFile(ConfigPath)
	if err != nil {
		t.Fatal(err)
	}
	if list, state := Setting(raw, "initial-cluster"), Setting(raw, "initial-cluster-state"); list != "a=https://10.0.0.1:2380,b=https://10.0.0.2:2380" || state != "existing" {
		t.Errorf("the configuration has %v, %v", list, state)
	}

	// What etcd refuses leaves the host as it was.
	m = newMachine(t)
	h = hosttest.Open(t, m.root, m)
	no := errors.New("unhealthy cluster")
	p.enter = func(_ context.Context, _ node.Env, s Spec, _ bool) (Spec, bool, error) { return s, false, no }
	if _, err := run(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, spec, p); !errors.Is(err, no) || len(h.Changes()) != 0 {
		t.Errorf("refused: %v, changed %v", err, h.Changes())
	}
	if strings.Join(asked, " ") != "enter vote" {
		t.Errorf("asked %v", asked)
	}
}

// TestJoinTakesBack: what was added to etcd goes again when the host gives up before etcd may
// have begun there; from then on it is what the next run goes on with.
func TestJoinTakesBack(t *testing.T) {
	no := errors.New("no")
	noUser := func(m *machine, _ *probes) {
		m.OnFunc("getent passwd etcd", func(host.Command) (host.Output, error) { return host.Output{}, errors.New("no user") })
	}
	for _, tt := range []struct {
		name  string
		added bool
		spoil func(*machine, *probes)
		back  error
		want  string
		says  string
	}{
		{"etcd's list is odd afterwards", true, func(_ *machine, p *probes) {
			p.enter = func(_ context.Context, _ node.Env, s Spec, _ bool) (Spec, bool, error) { return s, true, no }
		}, nil, "retreat", "no"},
		{"the user can't be made", true, noUser, nil, "retreat", "no user"},
		{"of an earlier run", false, noUser, nil, "", "no user"},
		{"and it can't be taken back", true, noUser, no, "retreat", "--etcd-member https://10.0.0.1:2380"},
		{"etcd has begun", true, func(_ *machine, p *probes) { p.vote = func(context.Context, node.Env, Spec) error { return no } }, nil, "", "no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			spec := testSpec()
			spec.New, spec.Join = false, true
			var asked []string
			p := probes{
				dial:    func(context.Context, string) error { return nil },
				enter:   func(_ context.Context, _ node.Env, s Spec, _ bool) (Spec, bool, error) { return s, tt.added, nil },
				retreat: func(context.Context, node.Env, Spec) error { asked = append(asked, "retreat"); return tt.back },
				vote:    func(context.Context, node.Env, Spec) error { return nil },
			}
			tt.spoil(m, &p)
			_, err := run(t.Context(), node.Env{Host: hosttest.Open(t, m.root, m), Progress: func(string, ...any) {}}, spec, p)
			if err == nil || !strings.Contains(err.Error()+host.Hint(err), tt.says) || strings.Join(asked, " ") != tt.want {
				t.Errorf("%v (%s), did %v; want %q, %q", err, host.Hint(err), asked, tt.says, tt.want)
			}
		})
	}
}

// A directory that an uninstall will empty is etcd's alone from the beginning.
func TestDataDirIsItsOwn(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"somebody's files", "photos/1.jpg", "has photos in it"},
		{"a file system of its own", "lost+found/x", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			hosttest.Write(t, hosttest.Open(t, m.root, m), "/var/lib/etcd/"+tt.in, "x", 0o600)
			h, err := m.run(t, testSpec())
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || host.Hint(err) == "" || len(h.Changes()) != 0) {
				t.Errorf("%v, changed %v; want %q", err, h.Changes(), tt.want)
			}
		})
	}
}

func TestNote(t *testing.T) {
	m := newMachine(t)
	h, err := m.run(t, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		members map[string]string
		changed bool
	}{
		{"as it was", testSpec().Members, false},
		{"one fewer", map[string]string{"a": "10.0.0.1", "b": "10.0.0.2"}, true},
		{"the same", map[string]string{"a": "10.0.0.1", "b": "10.0.0.2"}, false},
		{"without itself", map[string]string{"b": "10.0.0.2"}, false},
	} {
		if changed, err := Note(t.Context(), h, tt.members); err != nil || changed != tt.changed {
			t.Errorf("%s: %v, %v", tt.name, changed, err)
		}
	}
	raw, err := h.ReadFile(ConfigPath)
	if err != nil || Setting(raw, "initial-cluster") != "a=https://10.0.0.1:2380,b=https://10.0.0.2:2380" || Setting(raw, "initial-cluster-token") != "t1" {
		t.Errorf("the configuration is %s, %v", raw, err)
	}
	old := hosttest.New(t, hosttest.NewCommander(t))
	hosttest.Write(t, old, YAMLPath, "name: a\ninitial-cluster: a=x,b=y\nquota-backend-bytes: 8589934592\n", 0o644)
	changed, err := Note(t.Context(), old, map[string]string{"a": "10.0.0.1"})
	if err != nil || !changed {
		t.Errorf("a member of an earlier version: %v, %v", changed, err)
	}
	if raw, err := old.ReadFile(YAMLPath); err != nil || string(raw) != "initial-cluster: a=https://10.0.0.1:2380\nname: a\nquota-backend-bytes: 8589934592\n" {
		t.Errorf("its file is %s, %v", raw, err)
	}
	bare := hosttest.New(t, hosttest.NewCommander(t))
	if changed, err := Note(t.Context(), bare, testSpec().Members); err != nil || changed {
		t.Errorf("a host without a member: %v, %v", changed, err)
	}
}

// A control plane of another tool may have its login to etcd elsewhere. A node that its document
// does not know has no member then: kubectl-ha adds none there.
func TestLeaveWithoutALogin(t *testing.T) {
	env := node.Env{Host: hosttest.New(t, hosttest.NewCommander(t))}
	for name, task := range map[string]func(context.Context, node.Env, LeaveSpec) (any, error){"may it": MayLeave, "leave": Leave} {
		spec := LeaveSpec{Name: "w9", Address: "10.0.0.9", Members: map[string]string{"a": "10.0.0.1"}}
		if _, err := task(t.Context(), env, spec); err == nil || !strings.Contains(err.Error(), "no certificates for etcd") {
			t.Errorf("%s, of one that the document has: %v", name, err)
		}
		spec.MayBeNone = true
		if got, err := task(t.Context(), env, spec); err != nil || got != (LeaveData{Gone: true}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestLeaveLook(t *testing.T) {
	spec := LeaveSpec{Name: "a", Address: "10.0.0.1"}
	list := []etcd.Member{member(1, "a", "10.0.0.1"), member(2, "b", "10.0.0.2"), member(3, "c", "10.0.0.3")}
	up := func(id uint64) etcd.MemberStatus { return etcd.MemberStatus{ID: id, Leader: 2} }
	dead := etcd.MemberStatus{Err: errors.New("no answer")}
	for _, tt := range []struct {
		name string
		view etcd.View
		want string
		data LeaveData
	}{
		{"it is dead", etcd.View{Members: list, Status: []etcd.MemberStatus{dead, up(2), up(3)}}, "", LeaveData{Members: 2, Answer: 2}},
		{"another one is dead", etcd.View{Members: list, Status: []etcd.MemberStatus{up(1), up(2), dead}}, "must stay", LeaveData{Members: 2}},
		{"it is gone", etcd.View{Members: list[1:], Status: []etcd.MemberStatus{dead, up(2), up(3)}}, "", LeaveData{Gone: true, Members: 2, Answer: 2}},
		{"nobody tells", etcd.View{MembersErr: errors.New("no leader")}, "can't be asked", LeaveData{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := spec.look(tt.view)
			if got != tt.data || tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%+v, %v; want %+v, %q", got, err, tt.data, tt.want)
			}
		})
	}
}
