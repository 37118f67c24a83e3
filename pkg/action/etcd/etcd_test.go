package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdcare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/job"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
	"github.com/kubectl-ha/kubectl-ha/test/bundletest"
)

// document has two control planes, and three members on hosts of their own.
func document() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "test"}, Spec: v1alpha1.ClusterSpec{VirtualIP: "10.0.0.100", Hosts: []v1alpha1.Host{
		{Name: "cp1", Address: "10.0.0.11", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}},
		{Name: "cp2", Address: "10.0.0.12", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}},
		{Name: "e1", Address: "10.0.0.31", Roles: []v1alpha1.Role{v1alpha1.RoleEtcd}},
		{Name: "e2", Address: "10.0.0.32", Roles: []v1alpha1.Role{v1alpha1.RoleEtcd}},
		{Name: "e3", Address: "10.0.0.33", Roles: []v1alpha1.Role{v1alpha1.RoleEtcd}}}}}
	c.SetDefaults()
	return c
}

// seenAs is what a well etcd of a version says; e1 leads.
func seenAs(version string) etcd.Report {
	r := etcd.Report{ClusterID: "9", Quorum: true, Spare: 1}
	for i, name := range []string{"e1", "e2", "e3"} {
		url := "https://10.0.0.3" + string(rune('1'+i))
		m := etcd.MemberReport{Name: name, ID: string(rune('1' + i)), Listed: true, Started: true, Leader: i == 0, Version: version, Endpoint: url + ":2379",
			ClientURLs: []string{url + ":2379"}, PeerURLs: []string{url + ":2380"}, DBBytes: 100, FreeBytes: 40, RaftIndex: 5, Applied: 5}
		if v, err := etcd.ParseVersion(version); err == nil && v.Minor() >= 6 {
			m.StorageVersion = etcd.MinorOf(version) + ".0"
		}
		r.Members = append(r.Members, m)
	}
	return r
}

// hosts answer tasks by their names; anything else fails the test.
type hosts struct {
	t       *testing.T
	mu      sync.Mutex
	answers map[string]func(host string) (any, error)
	ran     []string
	// backups are the requests for such.
	backups []taskbackup.Spec
}

func (h *hosts) Run(_ context.Context, host string, req node.Request, _ report.Sink) (node.Result, error) {
	h.mu.Lock()
	h.ran = append(h.ran, req.Task+"/"+host)
	answer := h.answers[req.Task]
	if req.Task == tasks.Backup {
		var spec taskbackup.Spec
		if err := json.Unmarshal(req.Spec, &spec); err != nil {
			h.t.Error(err)
		}
		h.backups = append(h.backups, spec)
	}
	h.mu.Unlock()
	if answer == nil {
		h.t.Errorf("unexpected task %s on %s", req.Task, host)
		return node.Result{}, errors.New("unexpected")
	}
	data, err := answer(host)
	var f *node.Failure
	if errors.As(err, &f) {
		return node.Result{Failure: f}, nil
	}
	if err != nil {
		return node.Result{}, err
	}
	raw, err := node.NewRequest("", 0, data)
	return node.Result{Data: raw.Spec}, err
}

func (h *hosts) Pipe(context.Context, string, []string) (io.WriteCloser, io.Reader, func() error, error) {
	h.t.Error("nothing is sent")
	return nil, nil, nil, errors.New("unexpected")
}

func (h *hosts) DialContext(string) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("unexpected") }
}

func looking(seen etcd.Report) map[string]func(string) (any, error) {
	return map[string]func(string) (any, error){tasks.EtcdLook: func(host string) (any, error) {
		return etcdcare.LookData{From: host, Etcd: seen, Revision: 7}, nil
	}}
}

// TestStatus merges what several hosts see, with what only their own files tell.
func TestStatus(t *testing.T) {
	made := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := &hosts{t: t, answers: map[string]func(string) (any, error){tasks.EtcdLook: func(host string) (any, error) {
		d := etcdcare.LookData{From: host, Etcd: seenAs("3.5.35"), Revision: 7}
		switch host {
		case "cp1": // It does not see e3.
			d.Etcd.Members[2] = etcd.MemberReport{Endpoint: "https://10.0.0.33:2379", Error: "no answer within 3s"}
		case "cp2":
			return nil, &ssh.Error{Host: host, Kind: ssh.LoginRefused, Message: "refused"}
		case "e1":
			d.Settings = &etcdmember.Settings{Name: "e1", QuotaBytes: 8 << 30}
			d.Backup = &etcdcare.Backup{Name: "old", Created: made.Add(-time.Hour)}
		case "e2":
			d.Backup = &etcdcare.Backup{Name: "new", Created: made}
		}
		return d, nil
	}}}
	o := Options{Cluster: document(), Hosts: h}
	r, err := Status(t.Context(), o, report.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if !r.Quorum || !r.OverSSH || r.Version != "3.5" || r.Revision != 7 || len(r.Members) != 3 || r.Members[0].Host != "e1" || r.Members[0].QuotaBytes != 8<<30 || r.Members[2].Error != "" {
		t.Errorf("%+v", r)
	}
	if r.LastBackup == nil || r.LastBackup.Name != "new" || r.LastBackup.Host != "e2" {
		t.Errorf("%+v", r.LastBackup)
	}
	if !strings.Contains(r.Unwell, "seen from cp1: https://10.0.0.33:2379 does not answer") || action.KindOf(r.Err()) != action.Findings {
		t.Errorf("%q, %v", r.Unwell, r.Err())
	}
	if len(r.Unseen) != 1 || !strings.Contains(r.Unseen["cp2"], "refused") {
		t.Errorf("%v", r.Unseen)
	}
	h.answers[tasks.EtcdLook] = func(host string) (any, error) {
		return nil, &ssh.Error{Host: host, Kind: ssh.LoginRefused, Message: "refused"}
	}
	if _, err := Status(t.Context(), o, report.Discard()); action.KindOf(err) != action.Unreachable {
		t.Errorf("nobody answers: %v", err)
	}
	o.Failed = map[string]error{}
	for _, host := range o.Logins() {
		o.Failed[host.Name] = errors.New("no route")
	}
	if _, err := Status(t.Context(), o, report.Discard()); action.KindOf(err) != action.Unreachable {
		t.Errorf("nobody is connected: %v", err)
	}
}

// TestCheck names the host of the member that differs.
func TestCheck(t *testing.T) {
	hashes := &etcd.Hashes{Revision: 7}
	h := &hosts{t: t, answers: map[string]func(string) (any, error){tasks.EtcdLook: func(host string) (any, error) {
		if host == "cp1" {
			return nil, &ssh.Error{Host: host, Kind: ssh.LoginRefused, Message: "refused"} // The next one is asked.
		}
		return etcdcare.LookData{Etcd: seenAs("3.6.16"), Hashes: hashes}, nil
	}}}
	o := Options{Cluster: document(), Hosts: h}
	if r, err := Check(t.Context(), o, report.Discard()); err != nil || r.Err() != nil {
		t.Errorf("%+v %v", r, err)
	}
	hashes.Differs = []string{"https://10.0.0.32:2379"}
	r, err := Check(t.Context(), o, report.Discard())
	if err != nil || len(r.Hosts) != 1 || r.Hosts[0] != "e2" || r.Err() == nil || !strings.Contains(r.Err().Error(), "kubectl ha node replace e2") {
		t.Errorf("%+v %v", r.Err(), err)
	}
	hashes.Unclear = true
	if r, err := Check(t.Context(), o, report.Discard()); err != nil || !strings.Contains(r.Err().Error(), "can't be told who is right") {
		t.Errorf("%v %v", r.Err(), err)
	}
}

// TestAlarm: NOSPACE is ended after a question, and never with CORRUPT beside it.
func TestAlarm(t *testing.T) {
	seen := seenAs("3.6.16")
	freed := 0
	h := &hosts{t: t, answers: map[string]func(string) (any, error){
		tasks.EtcdLook: func(string) (any, error) {
			return etcdcare.LookData{Etcd: seen, Usage: []etcd.Usage{{Prefix: "/registry/events/", Keys: 3, Bytes: 9}}}, nil
		},
		tasks.EtcdFree: func(string) (any, error) { freed++; return etcdcare.FreeData{Disarmed: 1}, nil },
	}}
	o := AlarmOptions{Options: Options{Cluster: document(), Hosts: h}, Fix: true}
	if r, err := Alarm(t.Context(), o, report.Discard()); err != nil || len(r.Raised) > 0 || freed > 0 {
		t.Errorf("without an alarm: %+v %v", r, err)
	}
	seen.Members[1].Alarms = []string{etcd.AlarmNoSpace}
	o.Confirm = func(context.Context, Alarms) error { return errors.New("no") }
	if _, err := Alarm(t.Context(), o, report.Discard()); err == nil || freed > 0 {
		t.Errorf("who says no: %v", err)
	}
	o.Confirm = func(_ context.Context, a Alarms) error {
		if len(a.Usage) == 0 || a.Raised[0].Host != "e2" {
			t.Errorf("asked with %+v", a)
		}
		return nil
	}
	if r, err := Alarm(t.Context(), o, report.Discard()); err != nil || freed != 1 || r.Freed.Disarmed != 1 {
		t.Errorf("%+v %v", r, err)
	}
	seen.Members[2].Alarms = []string{etcd.AlarmCorrupt}
	if _, err := Alarm(t.Context(), o, report.Discard()); action.KindOf(err) != action.Findings || freed != 1 {
		t.Errorf("with CORRUPT: %v", err)
	}
}

// TestDefrag: the plan has the leader last, and who has nothing to free is left out.
func TestDefrag(t *testing.T) {
	seen := seenAs("3.6.16")
	seen.Members[1].FreeBytes = 10
	ran := 0
	h := &hosts{t: t, answers: looking(seen)}
	h.answers[tasks.EtcdDefrag] = func(string) (any, error) { ran++; return etcdcare.DefragData{}, nil }
	o := DefragOptions{Options: Options{Cluster: document(), Hosts: h}, Threshold: 0.3, DryRun: true}
	r, err := Defrag(t.Context(), o, report.Discard())
	if err != nil || ran > 0 || len(r.Plan) != 3 || !r.Plan[0].Skip || r.Plan[1].Host != "e3" || r.Plan[2].Host != "e1" || !r.Plan[2].Leader {
		t.Errorf("%+v %v", r.Plan, err)
	}
	o.DryRun = false
	if _, err := Defrag(t.Context(), o, report.Discard()); err != nil || ran != 1 {
		t.Errorf("%d, %v", ran, err)
	}
	o.Threshold = 0.9
	if _, err := Defrag(t.Context(), o, report.Discard()); err != nil || ran != 1 {
		t.Errorf("nothing is worth it: %d, %v", ran, err)
	}
	o.Threshold = 2
	if _, err := Defrag(t.Context(), o, report.Discard()); action.KindOf(err) != action.Invalid {
		t.Error(err)
	}
	seen.Quorum, o.Threshold = false, 0
	h.answers = looking(seen)
	if _, err := Defrag(t.Context(), o, report.Discard()); action.KindOf(err) != action.Broken {
		t.Error(err)
	}
}

// TestPlanChange: who leads is the last; what stands in the way is said; two are two rounds.
func TestPlanChange(t *testing.T) {
	h := &hosts{t: t, answers: looking(seenAs("3.5.35"))}
	o := ChangeOptions{Options: Options{Cluster: document(), Hosts: h}, Change: v1alpha1.EtcdUpgrade, Version: "v3.7.3", Via: []string{"v3.6.16"}}
	p, err := PlanChange(t.Context(), o, report.Discard())
	if err != nil || p.Err() != nil || p.Done || strings.Join(p.Versions, " ") != "v3.6.16 v3.7.3" || len(p.Steps.Steps) != 1+3+3+2*(1+2*3+1)+1 { // well, fit, backup; twice may, members with gates, settled; record
		t.Fatalf("%+v %v", p, err)
	}
	if m := p.Members; len(m) != 3 || m[0].Host != "e2" || m[2].Host != "e1" || !m[2].Leader || m[2].Turn != 3 || m[0].From != "3.5.35" || m[0].To != "v3.7.3" {
		t.Errorf("%+v", m)
	}
	if err := p.Steps.Validate(); err != nil {
		t.Error(err)
	}
	for name, tc := range map[string]struct {
		seen etcd.Report
		edit func(*ChangeOptions)
		kind action.Kind
		says string
	}{
		"the one between is missing": {seenAs("3.5.35"), func(o *ChangeOptions) { o.Via = nil }, action.Invalid, "is over 3.6"},
		"no version":                 {seenAs("3.5.35"), func(o *ChangeOptions) { o.Version = "new" }, action.Invalid, "is not a version"},
		"older":                      {seenAs("3.7.3"), func(o *ChangeOptions) { o.Version = "v3.6.16" }, action.Invalid, "newer than"},
		"members are no nodes":       {seenAs("3.5.35"), func(o *ChangeOptions) { o.Hosts = nil }, action.Invalid, "pass the Cluster file with -f"},
		"a host is away":             {seenAs("3.5.35"), func(o *ChangeOptions) { o.Failed = map[string]error{"e2": errors.New("no route")} }, action.Unreachable, "e2: no route"},
		"zombie members":             {seenAs("3.5.25"), func(o *ChangeOptions) { o.Version, o.Via = "v3.6.16", nil }, action.Findings, "3.5.26 or later"},
		"down, two":                  {seenAs("3.7.3"), func(o *ChangeOptions) { o.Change, o.Version = v1alpha1.EtcdDowngrade, "v3.5.35" }, action.Findings, "one minor version at a time"},
	} {
		h.answers = looking(tc.seen)
		one := o
		tc.edit(&one)
		p, err := PlanChange(t.Context(), one, report.Discard())
		if err == nil {
			err = p.Err()
		}
		if err == nil || action.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %q, %v", name, action.KindOf(err), err)
		}
	}
	h.answers = looking(seenAs("3.6.16"))
	o.Version, o.Via = "v3.6.16", nil
	if p, err := PlanChange(t.Context(), o, report.Discard()); err != nil || !p.Done || carryOut(t, p) == nil {
		t.Errorf("all are there: %+v %v", p, err)
	}
}

// TestRunOverSSH: the steps run one after the other on their hosts, and a member that fails ends it.
func TestRunOverSSH(t *testing.T) {
	fail := ""
	h := &hosts{t: t, answers: looking(seenAs("3.6.16"))}
	for _, task := range []string{tasks.EtcdGate, tasks.EtcdSettings} {
		h.answers[task] = func(host string) (any, error) {
			if host == fail {
				return nil, &node.Failure{Message: "it does not come up"}
			}
			return struct{}{}, nil
		}
	}
	o := ChangeOptions{Options: Options{Cluster: document(), Hosts: h, StateDir: t.TempDir()}, Change: v1alpha1.EtcdApply}
	run := func() (string, error) {
		p, err := PlanChange(t.Context(), o, report.Discard())
		if err != nil {
			t.Fatal(err)
		}
		h.ran = nil
		err = carryOut(t, p)
		return strings.Join(h.ran, " "), err
	}
	all := "etcd-gate/cp1 etcd-settings/e2 etcd-gate/cp1 etcd-settings/e3 etcd-gate/cp1 etcd-settings/e1 etcd-gate/cp1"
	if got, err := run(); err != nil || got != all {
		t.Errorf("%s, %v", got, err)
	}
	fail = "e3"
	if got, err := run(); err == nil || !strings.Contains(err.Error(), "it does not come up") || got != "etcd-gate/cp1 etcd-settings/e2 etcd-gate/cp1 etcd-settings/e3" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestQuota: a quota that the data has reached already is refused before a member is restarted with it.
func TestQuota(t *testing.T) {
	for text, refused := range map[string]bool{"": false, "101": false, "100": true, "1": true, "0": false, "-1": false, "much": false} {
		h := &hosts{t: t, answers: looking(seenAs("3.6.16"))}
		o := ChangeOptions{Options: Options{Cluster: document(), Hosts: h, StateDir: t.TempDir()}, Change: v1alpha1.EtcdApply}
		o.Cluster.Spec.Etcd.ExtraArgs = map[string]string{"quota-backend-bytes": text}
		p, err := PlanChange(t.Context(), o, report.Discard())
		if err != nil || (p.Err() != nil) != refused || refused && !strings.Contains(p.Err().Error(), "no more writes") {
			t.Errorf("%q: %v, %v", text, err, p.Err())
		}
	}
}

// TestBundleLacksTheVersion: what the bundles have instead is said, and how the one that is missing is made.
func TestBundleLacksTheVersion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "other.tar")
	bundletest.Create(t, file, "example.com/a:v1")
	p := &ChangePlan{options: ChangeOptions{Options: Options{Cluster: document()}, Files: []string{file}}}
	if _, _, err := p.bundle(t.Context(), "v3.7.3", report.Discard()); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), file+" has") || !strings.Contains(err.Error(), "bundle create --etcd-version v3.7.3") {
		t.Errorf("%v", err)
	}
}

// TestHeldBackups: hosts hold the backup of a run over SSH, whose tries nobody else counts, and are told
// when it has gone through. Who could not be told is named.
func TestHeldBackups(t *testing.T) {
	h := &hosts{t: t, answers: looking(seenAs("3.5.35"))}
	o := ChangeOptions{Options: Options{Cluster: document(), Hosts: h, StateDir: t.TempDir()}, Change: v1alpha1.EtcdUpgrade, Version: "v3.6.16"}
	p, err := PlanChange(t.Context(), o, report.Discard())
	if err != nil {
		t.Fatal(err)
	}
	own := p.backups(t.Context(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), report.Discard())
	if own.Name != "etcd-upgrade-20260102t030405z" || !own.Hold || own.Release {
		t.Errorf("%+v", own)
	}
	h.answers[tasks.Backup] = func(host string) (any, error) {
		if host == "e3" {
			return nil, &node.Failure{Message: "it is away"}
		}
		return taskbackup.Data{}, nil
	}
	var said []string
	p.release(t.Context(), own, report.SinkFunc(func(e report.Event) {
		if e.Kind == report.Warning {
			said = append(said, e.Message)
		}
	}))
	if len(h.backups) != 3 || h.backups[0].Hold || !h.backups[0].Release || h.backups[0].Operation != own.Name {
		t.Errorf("%+v", h.backups)
	}
	if len(said) != 1 || !strings.Contains(said[0], "e3 keeps the backup") {
		t.Errorf("%q", said)
	}
}

// TestApplyWhenFull: another quota is what a full etcd may need, so that its alarm does not keep
// settings from members; CORRUPT does.
func TestApplyWhenFull(t *testing.T) {
	for kind, blocked := range map[string]bool{etcd.AlarmNoSpace: false, etcd.AlarmCorrupt: true} {
		seen := seenAs("3.6.16")
		seen.Members[1].Alarms = []string{kind}
		h := &hosts{t: t, answers: looking(seen)}
		o := ChangeOptions{Options: Options{Cluster: document(), Hosts: h, StateDir: t.TempDir()}, Change: v1alpha1.EtcdApply}
		p, err := PlanChange(t.Context(), o, report.Discard())
		if err != nil || (p.Err() != nil) != blocked {
			t.Errorf("%s: %v, %v", kind, err, p.Err())
		}
	}
}

// TestOneAtATime: a defragmentation that was lost may go on where it was begun, and is not begun on
// another host besides. One that was never begun is.
func TestOneAtATime(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"the connection was lost":     {&ssh.Error{Host: "cp1", Kind: ssh.Lost, Message: "gone"}, "cp1"},
		"its node went silent":        {&job.LostError{Node: "cp1"}, "cp1"},
		"it could never be logged in": {&ssh.Error{Host: "cp1", Kind: ssh.Unreachable, Message: "no route"}, "cp1 cp2"},
		"its Job was never begun":     {&job.StartError{Node: "cp1"}, "cp1 cp2"},
	} {
		var ran []string
		h := &hosts{t: t, answers: looking(seenAs("3.6.16"))}
		h.answers[tasks.EtcdDefrag] = func(host string) (any, error) {
			ran = append(ran, host)
			if host == "cp1" {
				return nil, c.err
			}
			return etcdcare.DefragData{}, nil
		}
		_, err := Defrag(t.Context(), DefragOptions{Options: Options{Cluster: document(), Hosts: h}, Threshold: 0.3}, report.Discard())
		if got := strings.Join(ran, " "); got != c.want || (err == nil) != (c.want != "cp1") || err != nil && action.KindOf(err) != action.Unreachable {
			t.Errorf("%s: on %s, %v", name, got, err)
		}
	}
}

// carryOut does what was planned, over SSH: there is no Operation then.
func carryOut(t *testing.T, p *ChangePlan) error {
	t.Helper()
	begun, err := p.CarryOut(t.Context(), report.Discard())
	if begun != nil {
		t.Error("an Operation has begun")
	}
	return err
}

// TestPushOnly: no member is touched.
func TestPushOnly(t *testing.T) {
	h := &hosts{t: t, answers: looking(seenAs("3.6.16"))}
	o := ChangeOptions{Options: Options{Cluster: document(), Hosts: h, StateDir: t.TempDir()}, Change: v1alpha1.EtcdApply, PushOnly: true}
	p, err := PlanChange(t.Context(), o, report.Discard())
	if err != nil {
		t.Fatal(err)
	}
	h.ran = nil
	if err := carryOut(t, p); err != nil || len(h.ran) > 0 {
		t.Errorf("%v, %v", h.ran, err)
	}
}

// TestAlarmErr: what is raised is a finding, until it was ended.
func TestAlarmErr(t *testing.T) {
	raised := Alarms{Raised: []Raised{{Kind: etcd.AlarmNoSpace}}}
	for name, tc := range map[string]struct {
		r    AlarmResult
		want action.Kind
	}{
		"none":   {AlarmResult{}, ""},
		"raised": {AlarmResult{Alarms: raised}, action.Findings},
		"ended":  {AlarmResult{Alarms: raised, Freed: &etcdcare.FreeData{}}, ""},
	} {
		if got := action.KindOf(tc.r.Err()); got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestReach: with a Cluster file no API is needed, and one that is another cluster's is not used.
func TestReach(t *testing.T) {
	own, other := document(), document()
	other.Metadata.Name = "other"
	serve := func(c *v1alpha1.Cluster) *rest.Config {
		data, err := v1alpha1.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/v1/namespaces/"+v1alpha1.SystemNamespace+"/configmaps/"+v1alpha1.ClusterConfigMap {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
				Data: map[string]string{v1alpha1.ClusterConfigMapKey: string(data)}}); err != nil {
				t.Error(err)
			}
		}))
		t.Cleanup(server.Close)
		return &rest.Config{Host: server.URL}
	}
	away := &rest.Config{Host: "https://127.0.0.1:1"}
	for name, tc := range map[string]struct {
		config *rest.Config
		given  *v1alpha1.Cluster
		api    bool
		kind   action.Kind
	}{
		"the API":                        {serve(own), nil, true, ""},
		"the API is away":                {away, nil, true, action.Unreachable},
		"neither":                        {nil, nil, true, action.Invalid},
		"a file":                         {nil, own, false, ""},
		"a file, and its API":            {serve(own), own, true, ""},
		"a file, and an API that is not": {away, own, false, ""},
		"a file, and another's API":      {serve(other), own, false, ""},
	} {
		o, err := Reach(t.Context(), tc.config, tc.given)
		if action.KindOf(err) != tc.kind || (err == nil) != (tc.kind == "") {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err == nil && (o.Cluster == nil || o.Cluster.Metadata.Name != "test" || (o.Config != nil) != tc.api) {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

// TestStackedIsKubeadms: version and settings of kubeadm's own members are not changed here.
func TestStackedIsKubeadms(t *testing.T) {
	c := &v1alpha1.Cluster{}
	c.Spec.Etcd.Topology = v1alpha1.EtcdStacked
	for _, change := range []v1alpha1.EtcdChange{v1alpha1.EtcdUpgrade, v1alpha1.EtcdDowngrade, v1alpha1.EtcdApply} {
		err := CheckChange(ChangeOptions{Options: Options{Cluster: c}, Change: change, Version: "v3.6.16"})
		if action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "kubectl ha upgrade") {
			t.Errorf("%s: %v", change, err)
		}
	}
}
