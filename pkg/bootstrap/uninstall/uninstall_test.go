package uninstall

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func testCluster() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Hosts: []v1alpha1.Host{
		{Name: "cp1", Address: "10.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleEtcd}},
		{Name: "cp2", Address: "10.0.0.2", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleEtcd}},
		{Name: "w1", Address: "10.0.0.3", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}},
	}}}
	c.Metadata.Name = "c"
	return c
}

var errAway = errors.New("no route to host")

func TestMakePlan(t *testing.T) {
	ours, member, bare, away := Seen{Cluster: "c", Identity: "a"}, Seen{Cluster: "c", Identity: "a", EtcdData: true}, Seen{EtcdData: true}, Seen{Err: errAway}
	for name, tc := range map[string]struct {
		seen map[string]Seen
		in   Inputs
		// want are the steps, with the first word of why one is skipped.
		want string
		// refused are the hosts in the error.
		refused []string
	}{
		"all":         {map[string]Seen{"cp1": member, "cp2": member, "w1": ours}, Inputs{}, "snapshot uninstall/cp1 uninstall/cp2 uninstall/w1", nil},
		"no snapshot": {map[string]Seen{"cp1": member, "cp2": member, "w1": ours}, Inputs{NoSnapshot: true}, "-snapshot:not uninstall/cp1 uninstall/cp2 uninstall/w1", nil},
		"half":        {map[string]Seen{"cp1": away, "cp2": member, "w1": away}, Inputs{}, "snapshot -uninstall/cp1:can't uninstall/cp2 -uninstall/w1:can't", nil},
		"later":       {map[string]Seen{"cp1": member, "cp2": bare, "w1": bare}, Inputs{Taken: "/x.db"}, "-snapshot:an uninstall/cp1 -uninstall/cp2:nothing -uninstall/w1:nothing", nil},
		"gone":        {map[string]Seen{"cp1": away, "cp2": away, "w1": ours}, Inputs{Done: []string{"cp2", "w1"}}, "-snapshot:no -uninstall/cp1:can't -uninstall/cp2:done uninstall/w1", nil},
		"bare":        {map[string]Seen{"cp1": bare, "cp2": bare, "w1": bare}, Inputs{}, "-snapshot:no -uninstall/cp1:nothing -uninstall/cp2:nothing -uninstall/w1:nothing", nil},
		"of another":  {map[string]Seen{"cp1": member, "cp2": {Cluster: "d"}, "w1": {Cluster: "e"}}, Inputs{}, "", []string{"cp2", "w1"}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.in.Identity = "a"
			p, err := MakePlan(testCluster(), tc.seen, tc.in)
			var found *bootstrap.PreflightError
			if errors.As(err, &found) != (tc.refused != nil) {
				t.Fatalf("got %v", err)
			}
			if found != nil {
				var hosts []string
				for _, f := range found.Findings {
					hosts = append(hosts, f.Node)
				}
				if !slices.Equal(hosts, tc.refused) || len(p.Steps) > 0 {
					t.Errorf("refused %q, plan %v", hosts, p.Lines())
				}
				return
			}
			if err := p.Validate(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range p.Steps {
				if s.Skip == "" {
					got = append(got, s.ID)
				} else {
					got = append(got, "-"+s.ID+":"+strings.Fields(s.Skip)[0])
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, " "), tc.want)
			}
		})
	}
}

// TestWhoseHosts: the name of a cluster is no proof, since most clusters have the same one.
// Each case is what cp1, cp2 and w1 tell, and the hosts (. for all) that are refused.
func TestWhoseHosts(t *testing.T) {
	// What a ledger of before there were identities tells of its cluster.
	oldMember, oldWorker := Seen{Cluster: "c", EtcdCA: "a", ClusterCA: "ka"}, Seen{Cluster: "c", ClusterCA: "ka"}
	ours, others := Seen{Cluster: "c", Identity: "a", ClusterCA: "ka"}, Seen{Cluster: "c", Identity: "b", EtcdCA: "b", ClusterCA: "kb"}
	prepared := Seen{Cluster: "c"}
	away := Seen{Err: errAway}
	for name, tc := range map[string]struct {
		cp1, cp2, w1 Seen
		identity     string
		unidentified bool
		want         string
	}{
		"all of this one":                     {ours, ours, ours, "a", false, ""},
		"ledgers of before":                   {oldMember, oldMember, oldWorker, "a", false, ""},
		"one address of another cluster":      {ours, others, ours, "a", false, "cp2"},
		"and it is not taken for being told":  {ours, others, ours, "a", true, "cp2"},
		"a whole other cluster":               {others, others, others, "a", false, "cp1 cp2 w1"},
		"another one's worker, of before":     {ours, ours, Seen{Cluster: "c", ClusterCA: "kb"}, "a", false, "w1"},
		"a worker, nobody else is there":      {away, away, oldWorker, "a", false, "w1"},
		"the same, and somebody has looked":   {away, away, oldWorker, "a", true, ""},
		"prepared by a version of before":     {ours, ours, prepared, "a", false, "w1"},
		"no CA here":                          {ours, ours, ours, "", false, "."},
		"no CA here, and somebody has looked": {ours, ours, ours, "", true, ""},
		"no CA here, two clusters":            {ours, others, ours, "", true, "."},
		"no CA here, a worker of before":      {oldMember, away, oldWorker, "", false, "w1 ."},
		"nothing is left":                     {Seen{}, away, Seen{}, "", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range strangers(testCluster(), map[string]Seen{"cp1": tc.cp1, "cp2": tc.cp2, "w1": tc.w1}, Inputs{Identity: tc.identity, Unidentified: tc.unidentified}) {
				if f.Hint == "" || f.Severity != report.SeverityError {
					t.Errorf("%+v", f)
				}
				got = append(got, cmp.Or(f.Node, "."))
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("refused %q, want %q", got, tc.want)
			}
		})
	}
}

// fakeHosts fail on every task that nobody expects.
type fakeHosts struct {
	t     *testing.T
	facts map[string]observe.Facts
	// fails are hosts on which the uninstall does not end well.
	fails map[string]bool
	// identity is the cluster's, by the CA in the state directory.
	identity string

	mu  sync.Mutex
	ran []string
}

func (f *fakeHosts) DialContext(string) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return nil, errAway }
}

func (f *fakeHosts) Run(_ context.Context, name string, req node.Request, _ report.Sink) (node.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := func(v any) (node.Result, error) {
		raw, err := json.Marshal(v)
		return node.Result{Data: raw}, err
	}
	if req.Cluster != "c" || req.Task == tasks.Uninstall && req.Identity != f.identity {
		f.t.Errorf("%s for the cluster %q, %q", req.Task, req.Cluster, req.Identity)
	}
	switch req.Task {
	case tasks.Observe:
		return answer(f.facts[name])
	case tasks.EtcdIdentity:
		f.ran = append(f.ran, "identity "+name)
		return node.Result{Failure: &node.Failure{Message: "no certificates"}}, nil
	case tasks.Uninstall:
		what := "uninstall " + name
		if req.DryRun {
			what = "look at " + name
		} else if !f.fails[name] {
			f.facts[name] = observe.Facts{}
		}
		f.ran = append(f.ran, what)
		if f.fails[name] {
			return node.Result{Failure: &node.Failure{Message: "etcd does not stop", Hint: "look"}}, nil
		}
		res, err := answer(uninstall.Data{Left: []string{"/etc/kubernetes"}})
		res.Changes = []host.Change{{Action: "remove", Target: "/x"}}
		return res, err
	}
	f.t.Errorf("unexpected task %s on %s", req.Task, name)
	return node.Result{}, errAway
}

func (f *fakeHosts) took() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.ran)
	out := strings.Join(f.ran, ", ")
	f.ran = nil
	return out
}

func newFake(t *testing.T) *fakeHosts {
	f := &fakeHosts{t: t, facts: map[string]observe.Facts{}, fails: map[string]bool{}}
	for _, name := range []string{"cp1", "cp2", "w1"} {
		f.facts[name] = observe.Facts{Ours: &observe.Ours{Cluster: "c"}, State: observe.State{EtcdData: name != "w1"}}
	}
	return f
}

// config is of a cluster whose etcd CA is on this machine, and on no host yet.
func config(t *testing.T, f *fakeHosts) Config {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	store, err := pki.OpenStore(state)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.CA(t.Context(), "etcd", "c etcd CA"); err != nil {
		t.Fatal(err)
	}
	local, err := bootstrap.LocalInputs(t.Context(), state, testCluster())
	if err != nil || local.Identity == "" {
		t.Fatalf("%+v %v", local, err)
	}
	f.identity = local.Identity
	for name, facts := range f.facts {
		facts.Ours.Identity = local.Identity
		f.facts[name] = facts
	}
	return Config{Cluster: testCluster(), Hosts: f, StateDir: filepath.Join(dir, "state"), SnapshotFile: filepath.Join(dir, "snapshot.db"), NoSnapshot: true}
}

func states(r Result) string {
	var out []string
	for _, h := range r.Hosts {
		out = append(out, h.Host+" "+string(h.State))
	}
	return strings.Join(out, ", ")
}

// TestLaterAndAgain: what can be reached is done, the rest later by the same call,
// then nothing; only with the last host the workstation forgets.
func TestLaterAndAgain(t *testing.T) {
	f := newFake(t)
	cfg := config(t, f)
	cfg.Forget = true
	cfg.Failed = map[string]error{"cp2": errAway}
	r, err := Run(t.Context(), cfg, report.Discard())
	if err != nil || states(r) != "cp1 done, cp2 unreachable, w1 done" || r.Forgotten {
		t.Fatalf("%s, forgotten %v: %v", states(r), r.Forgotten, err)
	}
	if left := r.Left(); len(left) != 1 || left[0].Error != errAway.Error() {
		t.Errorf("left %+v", left)
	}
	if got := f.took(); got != "uninstall cp1, uninstall w1" {
		t.Errorf("ran %s", got)
	}
	if len(r.Hosts[0].Left) != 1 || len(r.Hosts[0].Changes) != 1 {
		t.Errorf("%+v", r.Hosts[0])
	}
	// A host that is done may be gone for good by then.
	cfg.Failed = map[string]error{"cp1": errAway}
	r, err = Run(t.Context(), cfg, report.Discard())
	if err != nil || states(r) != "cp1 done, cp2 done, w1 bare" || !r.Forgotten || f.took() != "uninstall cp2" {
		t.Fatalf("%s, forgotten %v: %v", states(r), r.Forgotten, err)
	}
	if _, err := os.Stat(cfg.StateDir); !os.IsNotExist(err) {
		t.Errorf("the state directory: %v", err)
	}
	cfg.Failed = nil
	r, err = Run(t.Context(), cfg, report.Discard())
	if err != nil || states(r) != "cp1 bare, cp2 bare, w1 bare" || f.took() != "" {
		t.Errorf("%s: %v", states(r), err)
	}
}

// TestForgetKeepsSnapshot: a snapshot that an earlier run put below the state directory is
// not removed with that; once it is elsewhere the cluster is forgotten.
func TestForgetKeepsSnapshot(t *testing.T) {
	f := newFake(t)
	cfg := config(t, f)
	inside := filepath.Join(cfg.StateDir, "last.db")
	for path, text := range map[string]string{inside: "all secrets", filepath.Join(cfg.StateDir, recordFile): fmt.Sprintf(`{"done":["cp1","cp2"],"snapshot":%q}`, inside)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range []string{"cp1", "cp2"} {
		f.facts[h] = observe.Facts{}
	}
	cfg.Forget, cfg.NoSnapshot = true, false
	if r, err := Run(t.Context(), cfg, report.Discard()); err == nil || r.Forgotten || !strings.Contains(err.Error(), inside) {
		t.Errorf("forgotten %v: %v", r.Forgotten, err)
	}
	if raw, err := os.ReadFile(inside); err != nil || string(raw) != "all secrets" {
		t.Errorf("the snapshot: %q %v", raw, err)
	}
	if err := os.Rename(inside, filepath.Join(t.TempDir(), "last.db")); err != nil {
		t.Fatal(err)
	}
	if r, err := Run(t.Context(), cfg, report.Discard()); err != nil || !r.Forgotten {
		t.Errorf("once it is elsewhere: forgotten %v: %v", r.Forgotten, err)
	}
}

// TestOneFails: the others are done all the same, and the failure is in the error.
func TestOneFails(t *testing.T) {
	f := newFake(t)
	f.fails["cp1"] = true
	r, err := Run(t.Context(), config(t, f), report.Discard())
	var failed *bootstrap.TaskError
	if !errors.As(err, &failed) || failed.Host != "cp1" || states(r) != "cp1 failed, cp2 done, w1 done" {
		t.Errorf("%s: %v", states(r), err)
	}
}

// TestWithoutSnapshotNothingIsDone: when the last snapshot can't be taken no host is touched.
func TestWithoutSnapshotNothingIsDone(t *testing.T) {
	f := newFake(t)
	cfg := config(t, f)
	cfg.NoSnapshot = false
	r, err := Run(t.Context(), cfg, report.Discard())
	var more plan.Explained
	if err == nil || !errors.As(err, &more) || states(r) != "cp1 pending, cp2 pending, w1 pending" || f.took() != "identity cp1, identity cp2" {
		t.Fatalf("%s: %v", states(r), err)
	}
	if _, hint := more.Explain(); !strings.Contains(hint, "--no-snapshot") {
		t.Errorf("hint %q", hint)
	}
	if left, _ := filepath.Glob(cfg.SnapshotFile + "*"); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

func TestRefusals(t *testing.T) {
	f := newFake(t)
	cfg := config(t, f)
	cfg.Confirm = func(context.Context, plan.Plan) error { return errAway }
	if _, err := Run(t.Context(), cfg, report.Discard()); !errors.Is(err, errAway) || f.took() != "" {
		t.Errorf("not confirmed: %v", err)
	}
	cfg.Confirm = nil
	f.facts["w1"] = observe.Facts{Ours: &observe.Ours{Cluster: "d"}}
	var found *bootstrap.PreflightError
	if _, err := Run(t.Context(), cfg, report.Discard()); !errors.As(err, &found) || f.took() != "" {
		t.Errorf("another cluster's host: %v", err)
	}
	unlock, err := bootstrap.Lock(cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := Run(t.Context(), cfg, report.Discard()); !errors.Is(err, bootstrap.ErrLocked) {
		t.Errorf("beside another run: %v", err)
	}
}

// TestDryRun asks every host what would be done, and keeps nothing on this machine.
func TestDryRun(t *testing.T) {
	f := newFake(t)
	cfg := config(t, f)
	cfg.DryRun, cfg.NoSnapshot = true, false
	r, err := Run(t.Context(), cfg, report.Discard())
	if err != nil || states(r) != "cp1 pending, cp2 pending, w1 pending" || f.took() != "look at cp1, look at cp2, look at w1" || len(r.Hosts[2].Changes) != 1 {
		t.Errorf("%s: %v", states(r), err)
	}
	kept, err := filepath.Glob(filepath.Join(cfg.StateDir, "*"))
	if err != nil || slices.ContainsFunc(kept, func(p string) bool {
		return !strings.HasPrefix(filepath.Base(p), "etcd") && !strings.HasSuffix(p, ".lock")
	}) {
		t.Errorf("the state directory: %q %v", kept, err)
	}
}

// TestKilled: after a run that was killed with its snapshot taken, the next one goes on
// with that when no other can be taken any more; not with one of long ago.
func TestKilled(t *testing.T) {
	f := newFake(t)
	cfg := config(t, f)
	cfg.NoSnapshot = false
	file := filepath.Join(t.TempDir(), "first.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	unfinished := record{Snapshot: file, Unfinished: true}
	if err := unfinished.write(cfg.StateDir, cfg.Cluster); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * unfinishedLife)
	if err := os.Chtimes(file, long, long); err != nil {
		t.Fatal(err)
	}
	var refused *noSnapshot
	if _, err := Run(t.Context(), cfg, report.Discard()); !errors.As(err, &refused) {
		t.Errorf("with a snapshot of long ago: %v", err)
	}
	if got := f.took(); got != "identity cp1, identity cp2" {
		t.Errorf("with a snapshot of long ago it ran %s", got)
	}
	if err := errors.Join(os.Chtimes(file, time.Now(), time.Now()), unfinished.write(cfg.StateDir, cfg.Cluster)); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), cfg, report.Discard())
	if err != nil || states(r) != "cp1 done, cp2 done, w1 done" || r.Snapshot == nil || r.Snapshot.File != file {
		t.Errorf("%s, %+v: %v", states(r), r.Snapshot, err)
	}
	// It looks whether there can be another one first.
	if got := f.took(); got != "identity cp1, identity cp2, uninstall cp1, uninstall cp2, uninstall w1" {
		t.Errorf("it ran %s", got)
	}
	if _, err := os.Stat(filepath.Join(cfg.StateDir, recordFile)); !os.IsNotExist(err) {
		t.Errorf("the record stays: %v", err)
	}
}

// TestNothingBegun: a run that took a snapshot and did nothing to any host leaves a cluster
// that may go on; a host of the file that was bare all along does not make its snapshot the last.
func TestNothingBegun(t *testing.T) {
	f := newFake(t)
	cfg := config(t, f)
	e := &executor{cfg: cfg}
	file := filepath.Join(t.TempDir(), "first.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		before record
		w1     State
		want   bool
	}{
		"cut off before the first host":       {record{}, Bare, true},
		"a host was done":                     {record{}, Done, false},
		"a host was done by the run before":   {record{Snapshot: file, Done: []string{"w1"}}, Bare, false},
		"the run before was cut off likewise": {record{Snapshot: file, Unfinished: true}, Bare, true},
	} {
		e.before = tc.before
		r := Result{Snapshot: &Snapshot{File: file}, Hosts: []HostResult{{Host: "cp1", State: Failed}, {Host: "cp2", State: Pending}, {Host: "w1", State: tc.w1}}}
		if err := e.keep(&r); err != nil {
			t.Fatal(err)
		}
		got, err := readRecord(cfg.StateDir, map[string]Seen{"cp1": {Cluster: "c"}, "cp2": {Cluster: "c"}})
		if err != nil || got.Snapshot != file || got.Unfinished != tc.want {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// TestRecord: a snapshot taken before counts as long as the cluster is the same.
func TestRecord(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "s.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := testCluster()
	if err := (record{Snapshot: file, Done: []string{"cp1"}}).write(dir, c); err != nil {
		t.Fatal(err)
	}
	same := map[string]Seen{"cp1": {}, "cp2": {Cluster: "c", EtcdData: true}}
	if r, err := readRecord(dir, same); err != nil || r.Snapshot != file {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := readRecord(dir, map[string]Seen{"cp1": {Cluster: "c"}}); err != nil || r.Snapshot != "" {
		t.Errorf("of a cluster made anew: %+v %v", r, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if r, err := readRecord(dir, same); err != nil || r.Snapshot != "" {
		t.Errorf("the file is gone: %+v %v", r, err)
	}
	if err := os.WriteFile(filepath.Join(dir, recordFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readRecord(dir, same); err == nil {
		t.Error("a garbled record was read")
	}
}
