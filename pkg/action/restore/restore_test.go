package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/restore"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// hosts is a transport that answers as the hosts would, and fails on what nobody expected.
type hosts struct {
	t     *testing.T
	looks map[string]restore.LookData
	// fail makes a step, "action host", fail.
	fail string
	mu   sync.Mutex
	done []string
	have map[string]int64
}

func (hs *hosts) DialContext(string) func(context.Context, string, string) (net.Conn, error) {
	hs.t.Error("nobody dials here")
	return nil
}

func (hs *hosts) Run(_ context.Context, name string, req node.Request, _ report.Sink) (node.Result, error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	switch req.Task {
	case tasks.LookForRestore:
		look, ok := hs.looks[name]
		if !ok {
			return node.Result{}, errors.New("no route to host")
		}
		return result(hs.t, look), nil
	case tasks.ReadSnapshot:
		return result(hs.t, restore.ReadData{Data: []byte("0123456789")}), nil
	case tasks.EtcdIdentity:
		return result(hs.t, backup.IdentityData{}), nil
	case tasks.EtcdHealth:
		hs.done = append(hs.done, "health "+name)
		return result(hs.t, struct{}{}), nil
	case tasks.Restore:
		var spec restore.Spec
		if err := json.Unmarshal(req.Spec, &spec); err != nil {
			hs.t.Fatal(err)
		}
		line := string(spec.Action) + " " + name
		hs.done = append(hs.done, line)
		if hs.fail == line {
			return node.Result{Failure: &node.Failure{Message: "it broke"}}, nil
		}
		data := restore.Data{}
		switch spec.Action {
		case restore.Receive:
			hs.have[name] += int64(len(spec.Data))
			data.Have = hs.have[name]
		case restore.Salvage:
			data.Snapshot = &backup.Snapshot{Revision: 9, Bytes: 10, SHA256: "salvaged"}
		case restore.Stage:
			if spec.Name == "" || len(spec.Members) == 0 || spec.SHA256 == "" {
				hs.t.Errorf("staged without a name, members or a digest: %+v", spec)
			}
		}
		return result(hs.t, data), nil
	}
	hs.t.Errorf("unexpected task %s on %s", req.Task, name)
	return node.Result{}, errors.New("unexpected")
}

func result(t *testing.T, data any) node.Result {
	t.Helper()
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return node.Result{Data: raw}
}

// api stands in for the API of the restored cluster.
type api struct{ hs *hosts }

func (a api) end(_ context.Context, lost []string) (ended, removed []string, err error) {
	a.hs.mu.Lock()
	defer a.hs.mu.Unlock()
	a.hs.done = append(a.hs.done, "end")
	return []string{"upgrade-1"}, lost, nil
}

func (a api) nodes(context.Context) (notReady, cordoned []string, err error) {
	return nil, []string{"cp2"}, nil
}

func newCluster() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "lab"}}
	for i, name := range []string{"cp1", "cp2", "cp3", "w1"} {
		role := v1alpha1.RoleControlPlane
		if name == "w1" {
			role = v1alpha1.RoleWorker
		}
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: name, Address: fmt.Sprintf("10.0.0.%d", i+1), Roles: []v1alpha1.Role{role}})
	}
	c.SetDefaults()
	return c
}

// newHosts has a backup of cp1, and data on cp1 alone that is further.
func newHosts(t *testing.T) *hosts {
	t.Helper()
	hs := &hosts{t: t, looks: map[string]restore.LookData{"w1": {}}, have: map[string]int64{}}
	for i, name := range []string{"cp1", "cp2", "cp3"} {
		hs.looks[name] = restore.LookData{Name: name, PeerURL: fmt.Sprintf("https://10.0.0.%d:2380", i+1)}
	}
	cp1 := hs.looks["cp1"]
	cp1.Backups = []backup.Backup{{Name: "b", Created: time.Now(), Snapshot: &backup.Snapshot{Revision: 7, Bytes: 10, SHA256: "sum"}}}
	cp1.HasData, cp1.Applied, cp1.Revision = true, 50, 12
	hs.looks["cp1"] = cp1
	return hs
}

func (hs *hosts) prepare(t *testing.T, o Options) (*Restore, error) {
	t.Helper()
	o.Cluster, o.Hosts = newCluster(), hs
	r, err := Prepare(t.Context(), o, report.Discard())
	if err != nil {
		return nil, err
	}
	r.wait = func(_ context.Context, h v1alpha1.Host) error {
		hs.mu.Lock()
		defer hs.mu.Unlock()
		hs.done = append(hs.done, "ready "+h.Name)
		return nil
	}
	r.api = func(context.Context, v1alpha1.Host) (cluster, error) { return api{hs}, nil }
	return r, nil
}

// phases are the steps in their order, with those on several hosts sorted.
func (hs *hosts) phases() (out []string) {
	for _, line := range hs.done {
		what, host, _ := strings.Cut(line, " ")
		if what == "receive" && slices.Contains(out, "receive "+host) {
			continue
		}
		out = append(out, strings.TrimSpace(what+" "+host))
	}
	return out
}

func before(t *testing.T, done []string, first, then string) {
	t.Helper()
	last, at := -1, len(done)
	for i, line := range done {
		if strings.HasPrefix(line, first) {
			last = i
		}
		if strings.HasPrefix(line, then) && at == len(done) {
			at = i
		}
	}
	if last < 0 || at == len(done) || last > at {
		t.Errorf("not all of %q come before any of %q: %v", first, then, done)
	}
}

// TestOrder: each step is through on all hosts before the next begins, whatever it is on.
func TestOrder(t *testing.T) {
	hs := newHosts(t)
	r, err := hs.prepare(t, Options{Backup: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if p := r.Plan; p.Revision != 7 || p.Newest != 12 || p.NewestOf != "cp1" || p.Resumes || !strings.Contains(strings.Join(p.Warnings, " "), "after revision 7 is lost") {
		t.Errorf("%+v", p)
	}
	if len(hs.done) > 0 {
		t.Errorf("done before anybody said yes: %v", hs.done)
	}
	result, err := r.Run(t.Context())
	if err != nil || fmt.Sprint(result.Ended, result.Cordoned) != "[upgrade-1] [cp2]" {
		t.Fatalf("%+v %v", result, err)
	}
	done := hs.phases()
	before(t, done, "receive", "stage")
	before(t, done, "stage", "stop-api")
	before(t, done, "stop-api", "swap")
	before(t, done, "swap", "start")
	before(t, done, "start", "health")
	before(t, done, "health", "serve-api cp1")
	before(t, done, "serve-api", "end")
	before(t, done, "end", "serve cp")
	before(t, done, "serve ", "finish")
	if n := strings.Count(strings.Join(done, "\n"), "serve-api"); n != 1 {
		t.Errorf("%d apiservers serve before the Operations are ended", n)
	}
	if slices.Contains(done, "stage w1") || slices.Contains(done, "stop-api w1") || !slices.Contains(done, "serve w1") {
		t.Errorf("the worker: %v", done)
	}
}

// TestStops: what fails on one host keeps the next step from all.
func TestStops(t *testing.T) {
	for fail, not := range map[string]string{"stage cp2": "stop-api", "stop-api cp3": "swap", "swap cp2": "start", "start cp1": "health", "receive cp3": "stage"} {
		hs := newHosts(t)
		hs.fail = fail
		r, err := hs.prepare(t, Options{Backup: "b"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "it broke") {
			t.Errorf("%s: %v", fail, err)
		}
		if slices.ContainsFunc(hs.done, func(line string) bool { return strings.HasPrefix(line, not+" ") }) {
			t.Errorf("after %s: %v", fail, hs.done)
		}
	}
}

// TestResumes: the same command goes on with the restore that was begun; another one is refused.
func TestResumes(t *testing.T) {
	state := func(hs *hosts, s restore.State) {
		l := hs.looks["cp2"]
		l.State = &s
		hs.looks["cp2"] = l
	}
	all := []restore.Member{{Name: "cp1"}, {Name: "cp2"}, {Name: "cp3"}}
	for name, tc := range map[string]struct {
		state restore.State
		o     Options
		want  string
	}{
		"the same":         {restore.State{ID: "restore-1", SHA256: "sum", Members: all}, Options{Backup: "b"}, ""},
		"one that is over": {restore.State{ID: "restore-1", SHA256: "other", Members: all, Finished: true}, Options{Backup: "b"}, ""},
		"another snapshot": {restore.State{ID: "restore-1", SHA256: "other", Members: all}, Options{Backup: "b"}, "of another snapshot"},
		"other members":    {restore.State{ID: "restore-1", SHA256: "sum", Members: all[:1]}, Options{Backup: "b"}, "is of the members cp1"},
		"of a member":      {restore.State{ID: "restore-1", SHA256: "salvaged", Bytes: 10, Members: all}, Options{FromMember: AnyMember}, ""},
	} {
		hs := newHosts(t)
		state(hs, tc.state)
		r, err := hs.prepare(t, tc.o)
		if tc.want != "" {
			if err == nil || !strings.Contains(err.Error(), tc.want) || action.KindOf(err) != action.Invalid {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || r.Plan.Resumes == tc.state.Finished || (r.Plan.ID == "restore-1") == tc.state.Finished {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if tc.o.FromMember != "" {
			// What was exchanged already is not salvaged again.
			if _, err := r.Run(t.Context()); err != nil || slices.Contains(hs.done, "salvage cp1") {
				t.Errorf("%s: %v %v", name, err, hs.done)
			}
		}
	}
}

// TestFromMember: the survivor that has applied most is taken, with the apiservers stopped first.
func TestFromMember(t *testing.T) {
	hs := newHosts(t)
	cp3 := hs.looks["cp3"]
	cp3.HasData, cp3.Applied, cp3.Revision = true, 60, 13
	hs.looks["cp3"] = cp3
	r, err := hs.prepare(t, Options{FromMember: AnyMember})
	if err != nil || !strings.Contains(r.Plan.Source, "cp3") {
		t.Fatalf("%v", err)
	}
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	before(t, hs.done, "salvage cp3", "receive")
	if slices.Index(hs.done, "salvage cp3") < slices.Index(hs.done, "stop-api cp1") {
		t.Errorf("%v", hs.done)
	}
	r, err = newHosts(t).prepare(t, Options{FromMember: "cp2"})
	if err == nil {
		t.Errorf("a member without data: %+v", r.Plan)
	}
}

// TestAbsent: a host that can't be reached is restored never, left out only when that is said.
func TestAbsent(t *testing.T) {
	away := func(names ...string) map[string]error {
		out := map[string]error{}
		for _, n := range names {
			out[n] = errors.New(n + ": no route to host")
		}
		return out
	}
	for name, tc := range map[string]struct {
		o          Options
		lost, want string
	}{
		"a member":              {Options{Failed: away("cp3")}, "", "leave it out with --members"},
		"a member that is out":  {Options{Failed: away("cp3"), Members: []string{"cp1"}}, "cp3", ""},
		"a worker":              {Options{Failed: away("w1")}, "", "--lost w1"},
		"a worker that is lost": {Options{Failed: away("w1"), Lost: []string{"w1"}}, "w1", ""},
		"a member that is lost": {Options{Lost: []string{"cp1"}}, "", "is a member that is to be restored"},
		"no such member":        {Options{Members: []string{"w1"}}, "", "is no etcd member"},
		"no such backup":        {Options{Backup: "x"}, "", "there are: b"},
		"two sources":           {Options{Backup: "b", FromMember: "cp1"}, "", "name one backup"},
	} {
		hs := newHosts(t)
		if tc.o.Backup == "" {
			tc.o.Backup = "b"
		}
		for n := range tc.o.Failed {
			delete(hs.looks, n)
		}
		r, err := hs.prepare(t, tc.o)
		switch {
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v", name, err)
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want == "" && strings.Join(r.Plan.Lost, " ") != tc.lost:
			t.Errorf("%s: lost %v", name, r.Plan.Lost)
		}
		if len(hs.done) > 0 {
			t.Errorf("%s: %v", name, hs.done)
		}
	}
}

func TestTakeBack(t *testing.T) {
	for name, tc := range map[string]struct {
		aside []string
		want  string
	}{"with what was put aside": {[]string{"restore-1"}, ""}, "without": {nil, "had no data before it"}} {
		hs := newHosts(t)
		for _, n := range []string{"cp1", "cp2", "cp3"} {
			l := hs.looks[n]
			l.State, l.AsideOf = &restore.State{ID: "restore-1", Swapped: true}, tc.aside
			hs.looks[n] = l
		}
		_, err := TakeBack(t.Context(), Options{Cluster: newCluster(), Hosts: hs}, report.Discard())
		if tc.want != "" {
			if err == nil || !strings.Contains(err.Error(), tc.want) || len(hs.done) > 0 {
				t.Errorf("%s: %v %v", name, err, hs.done)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		before(t, hs.done, "stop-api", "take-back")
		before(t, hs.done, "take-back", "start")
	}
	if _, err := TakeBack(t.Context(), Options{Cluster: newCluster(), Hosts: newHosts(t)}, report.Discard()); err == nil || action.KindOf(err) != action.Invalid {
		t.Errorf("without a restore: %v", err)
	}
}

// note gives a host what it remembers of a restore.
func (hs *hosts) note(name string, s restore.State) {
	l := hs.looks[name]
	l.State = &s
	hs.looks[name] = l
}

// TestOnlyTheNoteIsMissing: when a host has noted that the restore is through, the cluster is in use
// again. Nothing of it is stopped or ended by whoever runs the same command again, or takes it back.
func TestOnlyTheNoteIsMissing(t *testing.T) {
	all := []restore.Member{{Name: "cp1"}, {Name: "cp2"}, {Name: "cp3"}}
	for name, o := range map[string]Options{"of a backup": {Backup: "b"}, "of a member": {FromMember: AnyMember}} {
		hs := newHosts(t)
		for _, host := range []string{"cp1", "cp2", "cp3"} {
			hs.note(host, restore.State{ID: "restore-1", SHA256: "sum", Bytes: 10, Members: all, Staged: true, Swapped: true, Finished: host != "cp3"})
		}
		r, err := hs.prepare(t, o)
		if err != nil || !r.Plan.Through {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := r.Run(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if slices.ContainsFunc(hs.done, func(line string) bool { return !strings.HasPrefix(line, "finish ") }) || len(hs.done) == 0 {
			t.Errorf("%s: %v", name, hs.done)
		}
		hs.done = nil
		if _, err := TakeBack(t.Context(), Options{Cluster: newCluster(), Hosts: hs}, report.Discard()); action.KindOf(err) != action.Invalid || len(hs.done) > 0 {
			t.Errorf("%s: taken back: %v %v", name, err, hs.done)
		}
	}
}

// TestTakeBackAgain: one that was interrupted is gone on with, also when no host remembers the
// restore any more, or never did.
func TestTakeBackAgain(t *testing.T) {
	hs := newHosts(t)
	for _, name := range []string{"cp1", "cp2", "cp3"} {
		l := hs.looks[name]
		l.Manifests = []string{"kube-apiserver.yaml"}
		hs.looks[name] = l
	}
	if _, err := TakeBack(t.Context(), Options{Cluster: newCluster(), Hosts: hs}, report.Discard()); err != nil {
		t.Fatalf("with the apiservers stopped: %v", err)
	}
	before(t, hs.done, "start", "serve cp1")
	if !slices.Contains(hs.done, "serve cp3") || slices.ContainsFunc(hs.done, func(line string) bool { return strings.HasPrefix(line, "take-back") }) {
		t.Errorf("%v", hs.done)
	}
	// Whoever remembers it is the last to forget it: cp3 was left out, and knows of nothing.
	hs = newHosts(t)
	hs.note("cp1", restore.State{ID: "restore-1"})
	hs.note("cp2", restore.State{ID: "restore-1"})
	hs.fail = "take-back cp3"
	if _, err := TakeBack(t.Context(), Options{Cluster: newCluster(), Hosts: hs}, report.Discard()); err == nil {
		t.Error("no error")
	}
	if slices.Contains(hs.done, "take-back cp1") || slices.Contains(hs.done, "take-back cp2") {
		t.Errorf("the next run does not know of the restore: %v", hs.done)
	}
}

// TestTwoAtOnce: of two restores that were begun by two people, what was only prepared is taken back.
func TestTwoAtOnce(t *testing.T) {
	hs := newHosts(t)
	hs.note("cp1", restore.State{ID: "restore-1", Staged: true, Swapped: true})
	hs.note("cp2", restore.State{ID: "restore-2", Staged: true})
	p, err := TakeBack(t.Context(), Options{Cluster: newCluster(), Hosts: hs}, report.Discard())
	if err != nil || p.ID != "restore-2" || !slices.Equal(hs.done, []string{"take-back cp2"}) {
		t.Errorf("%v %v %v", p.ID, err, hs.done)
	}
	hs.done = nil
	hs.note("cp2", restore.State{ID: "restore-2", Swapped: true})
	if _, err := TakeBack(t.Context(), Options{Cluster: newCluster(), Hosts: hs}, report.Discard()); action.KindOf(err) != action.Invalid || len(hs.done) > 0 {
		t.Errorf("both have exchanged data: %v %v", err, hs.done)
	}
}

// TestNobodyLeft: without a control plane there is no API to restore.
func TestNobodyLeft(t *testing.T) {
	hs := newHosts(t)
	c := newCluster()
	c.Spec.Etcd.Topology = v1alpha1.EtcdExternal
	for i := range c.Spec.Hosts {
		if c.Spec.Hosts[i].Name == "w1" {
			c.Spec.Hosts[i].Roles = []v1alpha1.Role{v1alpha1.RoleEtcd}
		}
	}
	hs.looks["w1"] = restore.LookData{Name: "w1", PeerURL: "https://10.0.0.4:2380", Backups: hs.looks["cp1"].Backups}
	_, err := Prepare(t.Context(), Options{Cluster: c, Hosts: hs, Backup: "b", Members: []string{"w1"}, Lost: []string{"cp1", "cp2", "cp3"}}, report.Discard())
	if action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "no control plane") {
		t.Errorf("%v", err)
	}
	if _, err := newHosts(t).prepare(t, Options{Backup: "b", Members: []string{"cp1", "cp1"}}); action.KindOf(err) != action.Invalid {
		t.Errorf("a member twice: %v", err)
	}
}

// TestSnapshotOfOthers: whose a snapshot is, is told before anybody says yes.
func TestSnapshotOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		members []etcd.Member
		warned  bool
	}{
		"of this cluster":    {[]etcd.Member{{Name: "gone", PeerURLs: []string{"https://10.9.9.9:2380"}}, {Name: "cp2", PeerURLs: []string{"https://10.0.0.2:2380"}}}, false},
		"of another":         {[]etcd.Member{{Name: "a", PeerURLs: []string{"https://10.9.9.9:2380"}}}, true},
		"it does not tell":   {nil, false},
		"with other names":   {[]etcd.Member{{Name: "a", PeerURLs: []string{"https://10.0.0.1:2380"}}}, false},
		"with new addresses": {[]etcd.Member{{Name: "cp1", PeerURLs: []string{"https://10.9.9.9:2380"}}}, false},
	} {
		r := &Restore{Options: Options{Cluster: newCluster()}}
		r.ofOthers(c.members)
		if (len(r.Plan.Warnings) > 0) != c.warned {
			t.Errorf("%s: %v", name, r.Plan.Warnings)
		}
	}
}
