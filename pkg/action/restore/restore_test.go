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

	"filippo.io/age"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	backups "github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/offsite"
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
	case tasks.BackupTarget:
		return hs.target(req)
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

// target answers as the task does on a host whose cluster has no backup there.
func (hs *hosts) target(req node.Request) (node.Result, error) {
	var spec offsite.TargetSpec
	if err := json.Unmarshal(req.Spec, &spec); err != nil {
		hs.t.Fatal(err)
	}
	s, err := store.Open(hs.t.Context(), spec.Store)
	if err != nil {
		hs.t.Fatal(err)
	}
	data, err := offsite.Look(hs.t.Context(), s, "0123456789abcdef", spec)
	if err != nil {
		return node.Result{Failure: &node.Failure{Message: err.Error(), Hint: host.Hint(err)}}, nil
	}
	return result(hs.t, data), nil
}

func result(t *testing.T, data any) node.Result {
	t.Helper()
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return node.Result{Data: raw}
}

// served stands in for the API of the restored cluster.
type served struct{ hs *hosts }

func (a served) settle(context.Context) certs.Settled {
	a.hs.mu.Lock()
	defer a.hs.mu.Unlock()
	a.hs.done = append(a.hs.done, "settle")
	return certs.Settled{Bound: []string{"shop/token"}}
}

func (a served) hold(_ context.Context, id string, _ report.Sink) (func(), error) {
	say := func(what string) {
		a.hs.mu.Lock()
		defer a.hs.mu.Unlock()
		a.hs.done = append(a.hs.done, what)
	}
	if !strings.HasPrefix(id, "restore-") {
		a.hs.t.Errorf("the claim is of %q", id)
	}
	say("hold")
	return func() { say("release") }, nil
}

func (a served) end(_ context.Context, lost []string) (ended, removed []string, err error) {
	a.hs.mu.Lock()
	defer a.hs.mu.Unlock()
	a.hs.done = append(a.hs.done, "end")
	return []string{"upgrade-1"}, lost, nil
}

func (a served) nodes(context.Context) (notReady, cordoned []string, err error) {
	return nil, []string{"cp2"}, nil
}

func newCluster() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "lab"}, Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3"}}
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
	r.api = func(context.Context, v1alpha1.Host) (cluster, error) { return served{hs}, nil }
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
	if err != nil || fmt.Sprint(result.Ended, result.Cordoned, result.Settled.Bound) != "[upgrade-1] [cp2] [shop/token]" {
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
	before(t, done, "end", "settle")
	before(t, done, "end", "hold")
	before(t, done, "hold", "serve cp") // Others could begin while hosts are changed.
	before(t, done, "finish", "release")
	before(t, done, "settle", "serve cp") // No pod is to start with a CA of long ago.
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

// TestFewerMembers: two of three are restored while the third is lost for ever: it is asked for nothing,
// its node goes, and of a third that is there the data is put aside before any of the others starts.
func TestFewerMembers(t *testing.T) {
	two := Options{Backup: "b", Members: []string{"cp1", "cp2"}}
	lost := two
	lost.Failed = map[string]error{"cp3": errors.New("cp3: no route to host")}
	hs := newHosts(t)
	delete(hs.looks, "cp3")
	r, err := hs.prepare(t, lost)
	if err != nil || strings.Join(r.Plan.Lost, " ") != "cp3" || len(r.Plan.LeftOut) > 0 || !strings.Contains(strings.Join(r.Plan.Warnings, "\n"), "2 members tolerate no more failures than 1") || !strings.Contains(strings.Join(r.Plan.Warnings, "\n"), "never start cp3 again") {
		t.Fatalf("%+v, %v", r, err)
	}
	result, err := r.Run(t.Context())
	if err != nil || strings.Join(result.Removed, " ") != "cp3" || slices.ContainsFunc(hs.done, func(line string) bool { return strings.HasSuffix(line, " cp3") }) {
		t.Errorf("%+v, %v: %v", result, err, hs.done)
	}
	hs = newHosts(t)
	if r, err = hs.prepare(t, two); err != nil || strings.Join(r.Plan.LeftOut, " ") != "cp3" {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	before(t, hs.done, "aside cp3", "start")
	for _, not := range []string{"stage cp3", "swap cp3", "start cp3"} {
		if slices.Contains(hs.done, not) {
			t.Errorf("%s: %v", not, hs.done)
		}
	}
	if !slices.Contains(hs.done, "serve cp3") {
		t.Errorf("its apiserver does not serve: %v", hs.done)
	}
}

// TestDuringAnUpgrade: that members are of several versions is told, and what is to be done about it.
func TestDuringAnUpgrade(t *testing.T) {
	for name, tc := range map[string]struct {
		versions []string
		told     bool
	}{
		"in the middle": {[]string{"3.5.35", "3.6.16", "3.5.35"}, true}, "before": {[]string{"3.5.35", "3.5.35", "3.5.35"}, false},
		"patches": {[]string{"3.6.15", "3.6.16", "3.6.16"}, false}, "one does not tell": {[]string{"3.6.16", "", "3.6.16"}, false},
	} {
		hs := newHosts(t)
		for i, host := range []string{"cp1", "cp2", "cp3"} {
			l := hs.looks[host]
			l.EtcdVersion = tc.versions[i]
			hs.looks[host] = l
		}
		r, err := hs.prepare(t, Options{Backup: "b"})
		if err != nil || strings.Contains(strings.Join(r.Plan.Warnings, "\n"), "kubectl ha etcd upgrade") != tc.told {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

// TestOfAnotherCluster: a backup of a cluster that is lost is taken when it is asked for by name, and it
// is told whose it is; without a name the hosts look for their own only.
func TestOfAnotherCluster(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	target := &store.Config{URL: "file://" + t.TempDir()}
	s, err := store.Open(t.Context(), *target)
	if err != nil {
		t.Fatal(err)
	}
	const old = "fedcba9876543210"
	part, err := backups.Send(t.Context(), s, backups.Folder(old, "daily"), backups.Part{Kind: backups.KindSnapshot, Object: "etcd-snapshot.db.age"}, []age.Recipient{id.Recipient()}, strings.NewReader("a snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	if err := backups.Finish(t.Context(), s, backups.Manifest{Name: "daily", Cluster: "prod", Identity: old, Created: time.Now().Add(-time.Hour), KubernetesVersion: "v1.30.1", Revision: 7, Parts: []backups.Part{part}}); err != nil {
		t.Fatal(err)
	}
	o := Options{Backup: "daily", Store: target, Keys: []age.Identity{id}}
	var failed *bootstrap.TaskError
	if _, err := newHosts(t).prepare(t, o); !errors.As(err, &failed) || !strings.Contains(failed.Failure.Hint, "--of-cluster") {
		t.Errorf("it is taken without a word: %v", err)
	}
	for _, name := range []string{"prod", old, "fedcba98"} {
		o.Of = name
		r, err := newHosts(t).prepare(t, o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		said := strings.Join(r.Plan.Warnings, "\n")
		if !strings.Contains(r.Plan.Source, "of the cluster prod ("+old+")") || !strings.Contains(said, "is replaced by what the cluster prod had") || !strings.Contains(said, "had Kubernetes v1.30.1") || r.from.object.Folder != old+"/daily" {
			t.Errorf("%s: %+v", name, r.Plan)
		}
	}
	o.Of = "test"
	if _, err := newHosts(t).prepare(t, o); err == nil || !strings.Contains(err.Error(), "prod ("+old+")") {
		t.Errorf("a cluster that is not there: %v", err)
	}
	o.Store, o.Of = nil, "prod"
	if _, err := newHosts(t).prepare(t, o); action.KindOf(err) != action.Invalid {
		t.Errorf("without a target: %v", err)
	}
}

// TestQuota: a member that may have less than the snapshot has is found before anything is done.
func TestQuota(t *testing.T) {
	for quota, refused := range map[int64]bool{0: false, 10: true, 11: false, 1: true} {
		hs := newHosts(t)
		l := hs.looks["cp2"]
		l.QuotaBytes = quota
		hs.looks["cp2"] = l
		if _, err := hs.prepare(t, Options{Backup: "b"}); (err != nil) != refused || refused && (action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "etcd of cp2 may have")) {
			t.Errorf("%d: %v", quota, err)
		}
	}
}

// TestAuthorities: what the hosts' CAs say of a snapshot is told before anybody says yes.
func TestAuthorities(t *testing.T) {
	taken := time.Now()
	for name, tc := range map[string]struct {
		since time.Time
		cas   int
		want  string
	}{
		"as it was":                {taken.Add(-time.Hour), 1, ""},
		"replaced since":           {taken.Add(time.Hour), 1, "after the snapshot"},
		"in the middle":            {taken.Add(-time.Hour), 2, "in the middle of a rotation"},
		"a node of an older agent": {time.Time{}, 0, ""},
	} {
		hs := newHosts(t)
		for _, host := range []string{"cp1", "cp2", "cp3"} {
			l := hs.looks[host]
			l.CASince, l.CAs = tc.since, tc.cas
			hs.looks[host] = l
		}
		r, err := hs.prepare(t, Options{Backup: "b"})
		if err != nil {
			t.Fatal(err)
		}
		said := 0
		for _, w := range r.Plan.Warnings {
			if strings.Contains(w, "CA of Kubernetes") {
				said++
			}
		}
		if text := strings.Join(r.Plan.Warnings, "\n"); said > 1 || (said > 0) != (tc.want != "") || !strings.Contains(text, tc.want) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// TestStackedIsRefused: before any host is asked, with what to do instead.
func TestStackedIsRefused(t *testing.T) {
	c := &v1alpha1.Cluster{}
	c.Spec.Etcd.Topology = v1alpha1.EtcdStacked
	err := Options{Cluster: c, Backup: "x"}.check()
	if action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "docs/disaster-recovery.md") {
		t.Errorf("got %v", err)
	}
}
