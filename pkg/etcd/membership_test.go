package etcd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCanRemove(t *testing.T) {
	dead := errors.New("no answer")
	voter := func(id uint64) Member { return Member{ID: id} }
	up := func(id uint64) MemberStatus { return MemberStatus{ID: id, Leader: 1} }
	down := MemberStatus{Err: dead}
	for _, tt := range []struct {
		name    string
		members []Member
		status  []MemberStatus
		remove  uint64
		want    string
	}{
		{"one of three, all well", []Member{voter(1), voter(2), voter(3)}, []MemberStatus{up(1), up(2), up(3)}, 3, ""},
		{"the dead one of three", []Member{voter(1), voter(2), voter(3)}, []MemberStatus{up(1), up(2), down}, 3, ""},
		{"a living one beside a dead one", []Member{voter(1), voter(2), voter(3)}, []MemberStatus{up(1), up(2), down}, 2, "of the 2 members that stay 1 answer"},
		{"without a quorum", []Member{voter(1), voter(2), voter(3)}, []MemberStatus{up(1), down, down}, 3, "there is no quorum"},
		{"one of two", []Member{voter(1), voter(2)}, []MemberStatus{up(1), up(2)}, 2, ""},
		{"the dead one of two", []Member{voter(1), voter(2)}, []MemberStatus{up(1), down}, 2, "there is no quorum"},
		{"the last", []Member{voter(1)}, []MemberStatus{up(1)}, 1, "the last member"},
		{"the last that votes", []Member{voter(1), {ID: 2, Learner: true}}, []MemberStatus{up(1), up(2)}, 1, "the last member"},
		{"a learner", []Member{voter(1), {ID: 2, Learner: true}}, []MemberStatus{up(1), up(2)}, 2, ""},
		{"a stranger", []Member{voter(1), voter(2)}, []MemberStatus{up(1), up(2)}, 9, "no member 9"},
		{"one that knows no leader is of no use", []Member{voter(1), voter(2), voter(3)}, []MemberStatus{up(1), {ID: 2}, up(3)}, 3, "of the 2 members that stay 1 answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := CanRemove(View{Members: tt.members, Status: tt.status}, tt.remove)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if err := CanRemove(View{MembersErr: dead}, 1); !errors.Is(err, dead) {
		t.Errorf("without a list: %v", err)
	}
}

// grown is a cluster of processes to which members are added.
type grown struct {
	dir, binary string
	ca          authority
	peers, urls []string
	stops       []func()
}

func newGrown(t *testing.T, binary string, n int) *grown {
	t.Helper()
	g := &grown{dir: t.TempDir(), binary: binary, ca: newAuthority(t)}
	cert, key := g.ca.issue(t, "member")
	for name, content := range map[string][]byte{"ca.crt": g.ca.pem, "m.crt": cert, "m.key": key} {
		if err := os.WriteFile(filepath.Join(g.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		g.reserve(t)
	}
	for i := range n {
		g.start(t, i, "new", g.peers)
	}
	return g
}

func (g *grown) reserve(t *testing.T) {
	g.peers, g.urls = append(g.peers, "https://"+freePort(t)), append(g.urls, "https://"+freePort(t))
	g.stops = append(g.stops, nil)
}

func (g *grown) start(t *testing.T, i int, state string, peers []string) {
	t.Helper()
	var initial []string
	for _, p := range peers {
		for j, own := range g.peers {
			if own == p {
				initial = append(initial, fmt.Sprintf("m%d=%s", j, p))
			}
		}
	}
	file := func(name string) string { return filepath.Join(g.dir, name) }
	cmd := exec.Command(g.binary, "--name", fmt.Sprintf("m%d", i), "--data-dir", file(fmt.Sprintf("m%d", i)),
		"--listen-peer-urls", g.peers[i], "--initial-advertise-peer-urls", g.peers[i], "--listen-client-urls", g.urls[i], "--advertise-client-urls", g.urls[i],
		"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-state", state, "--client-cert-auth", "--peer-client-cert-auth",
		"--trusted-ca-file", file("ca.crt"), "--peer-trusted-ca-file", file("ca.crt"), "--cert-file", file("m.crt"), "--key-file", file("m.key"),
		"--peer-cert-file", file("m.crt"), "--peer-key-file", file("m.key"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }() // it is killed: how it ends is of no interest
	g.stops[i] = func() { _ = cmd.Process.Kill(); <-done }
	t.Cleanup(g.stops[i])
}

func (g *grown) connect(t *testing.T, urls ...string) *Client {
	t.Helper()
	cert, key := g.ca.issue(t, "client")
	c, err := Connect(t.Context(), urls, TLS{CA: g.ca.pem, Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // a killed member's connection may not end well
	return c
}

// A member that is lost for ever is taken out first, then a new one is added, as a
// learner until it has all data; then the leader leaves.
func TestRealReplace(t *testing.T) {
	g := newGrown(t, realBinary(t), 3)
	all := g.connect(t, g.urls...)
	if _, err := all.WaitHealthy(t.Context(), time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	lost, _ := At(all.View(t.Context()).Members, g.peers[0])
	g.stops[0]()
	g.reserve(t)

	// etcd#10499: nothing is added to three while one is away.
	if m, err := all.AddLearner(t.Context(), g.peers[3], 3*time.Second, nil); err == nil {
		t.Fatalf("a member was added to a sick cluster: %+v", m)
	}
	left := g.connect(t, g.urls[1:3]...)
	if err := all.Remove(t.Context(), lost.ID, time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	if err := all.Remove(t.Context(), lost.ID, time.Minute, nil); err != nil {
		t.Errorf("once more: %v", err)
	}
	m, err := left.AddLearner(t.Context(), g.peers[3], time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := left.AddLearner(t.Context(), g.peers[3], time.Minute, nil); err != nil || again.ID != m.ID {
		t.Errorf("added once more: %+v, %v", again, err)
	}
	g.start(t, 3, "existing", g.peers[1:])
	if err := left.Promote(t.Context(), m.ID, time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	if err := left.Promote(t.Context(), m.ID, time.Minute, nil); err != nil {
		t.Errorf("promoted once more: %v", err)
	}
	now := g.connect(t, g.urls[1:]...)
	v, err := now.WaitHealthy(t.Context(), time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	leader := v.Status[0].Leader
	if err := now.Remove(t.Context(), leader, time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	v = now.View(t.Context())
	if ok, _ := HasQuorum(v); !ok || len(v.Members) != 2 {
		t.Errorf("after the leader has left: %+v", v)
	}
}

// A member is found however the address in its URL is spelt.
func TestAt(t *testing.T) {
	members := []Member{{ID: 1, PeerURLs: []string{"https://[2001:db8::1]:2380"}}, {ID: 2, PeerURLs: []string{"https://10.0.0.2:2380", "https://etcd2:2380"}}}
	for url, want := range map[string]uint64{
		"https://[2001:db8::1]:2380": 1, "https://[2001:db8:0::1]:2380": 1, "https://[2001:DB8:0:0:0:0:0:1]:2380": 1, "https://10.0.0.2:2380": 2, "https://etcd2:2380": 2,
		"https://[2001:db8::2]:2380": 0, "https://[2001:db8::1]:2381": 0, "http://10.0.0.2:2380": 0, "https://etcd3:2380": 0, "": 0,
	} {
		got, ok := At(members, url)
		if got.ID != want || ok != (want != 0) {
			t.Errorf("%q: %d, %v", url, got.ID, ok)
		}
	}
}
