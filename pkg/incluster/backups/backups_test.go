package backups

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/offsite"
)

func document(t *testing.T) *v1alpha1.Cluster {
	t.Helper()
	c, _, err := v1alpha1.Load([]byte(strings.Join([]string{
		"apiVersion: kubectl-ha.dev/v1alpha1", "kind: Cluster", "metadata: {name: test}",
		"spec:", "  kubernetesVersion: v1.36.3", "  virtualIP: 10.77.0.100", "  hosts:",
		"  - {name: cp1, address: 10.77.0.11, roles: [control-plane]}",
		"  - {name: cp2, address: 10.77.0.12, roles: [control-plane, etcd]}",
		"  - {name: e1, address: 10.77.0.31, roles: [etcd]}",
		"  - {name: w1, address: 10.77.0.21, roles: [worker, etcd]}",
		"  - {name: w2, address: 10.77.0.22}",
		"  backup:",
		"    recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]",
		"    targets:", "    - {name: offsite, url: 's3://bucket/a'}", "    - {name: shared, url: 'file:///mnt/backups'}", "",
	}, "\n")), "cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func nodes(away ...string) (out []corev1.Node) {
	for _, name := range []string{"cp1", "cp2", "w1", "w2"} {
		status := corev1.ConditionTrue
		if slices.Contains(away, name) {
			status = corev1.ConditionUnknown
		}
		out = append(out, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}}})
	}
	return out
}

// TestPlan: all nodes that are there, at the same time; who is away is passed over and said so.
func TestPlan(t *testing.T) {
	sent := v1alpha1.BackupSpec{TargetSecret: "x"}
	kept := sent
	kept.Keep.Daily = 7
	for name, tc := range map[string]struct {
		spec *v1alpha1.BackupSpec
		away []string
		want string
		err  string
	}{
		"on the nodes": {&v1alpha1.BackupSpec{}, nil, "backup/cp1() backup/cp2() backup/w1() finish(backup/cp1 backup/cp2 backup/w1)", ""},
		"sent":         {&sent, nil, "backup/cp1() backup/cp2() backup/w1() send/cp1(backup/cp1) send/cp2(backup/cp2) send/w1(backup/w1) finish(send/cp1 send/cp2 send/w1)", ""},
		"kept":         {&kept, []string{"cp1"}, "-backup/cp1() backup/cp2() backup/w1() send/cp2(backup/cp2) send/w1(backup/w1) finish(send/cp2 send/w1) retain(finish)", ""},
		"all away":     {&sent, []string{"cp1", "cp2", "w1"}, "", "is ready"},
		"no spec":      {nil, nil, "", "no spec.backup"},
	} {
		steps, err := Plan(tc.spec, document(t), nodes(tc.away...))
		if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, s := range steps {
			skipped := ""
			if s.State == v1alpha1.StepSkipped {
				skipped = "-"
				if !strings.Contains(s.Message, "not ready") {
					t.Errorf("%s: %q", name, s.Message)
				}
			}
			got = append(got, skipped+s.ID+"("+strings.Join(s.After, " ")+")")
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, strings.Join(got, " "), tc.want)
		}
	}
}

// TestEndpoints: a member asks itself first.
func TestEndpoints(t *testing.T) {
	c := document(t)
	h, _ := c.Host("e1")
	if got := Endpoints(c, h); len(got) != 3 || got[0] != h.EtcdURL() {
		t.Errorf("%v", got)
	}
}

// TestInProgress: what an Operation is making, or was paused in, is not taken for what somebody has left.
func TestInProgress(t *testing.T) {
	op := func(name string, kind v1alpha1.OperationType, phase v1alpha1.OperationPhase) v1alpha1.Operation {
		return v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.OperationSpec{Type: kind}, Status: v1alpha1.OperationStatus{Phase: phase}}
	}
	got := InProgress([]v1alpha1.Operation{
		op("paused", v1alpha1.OperationBackup, v1alpha1.OperationPaused), op("new", v1alpha1.OperationBackup, ""), op("runs", v1alpha1.OperationBackup, v1alpha1.OperationRunning),
		op("failed", v1alpha1.OperationBackup, v1alpha1.OperationFailed), op("whole", v1alpha1.OperationBackup, v1alpha1.OperationSucceeded), op("upgrade", v1alpha1.OperationUpgrade, v1alpha1.OperationPaused),
	})
	if strings.Join(got, " ") != "paused new runs" {
		t.Errorf("%v", got)
	}
}

// TestBegan: an upgrade that has failed needs its backup until a later one has succeeded.
func TestBegan(t *testing.T) {
	op := func(name string, kind v1alpha1.OperationType, phase v1alpha1.OperationPhase) v1alpha1.Operation {
		return v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.OperationSpec{Type: kind}, Status: v1alpha1.OperationStatus{Phase: phase}}
	}
	const up = v1alpha1.OperationUpgrade
	failed, done := op("failed", up, v1alpha1.OperationFailed), op("done", up, v1alpha1.OperationSucceeded)
	for want, all := range map[string][]v1alpha1.Operation{
		"":              {},
		"failed":        {failed},
		"failed paused": {done, failed, op("paused", up, v1alpha1.OperationPaused)},
		"aborted":       {failed, done, op("aborted", up, v1alpha1.OperationAborted)},
		"failed new":    {failed, op("other", v1alpha1.OperationBackup, v1alpha1.OperationSucceeded), op("new", up, "")},
	} {
		if got := strings.Join(slices.Sorted(maps.Keys(Began(all))), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSurplus: what goes of a target is scheduled, not the newest, and not of before an upgrade that
// is not through.
func TestSurplus(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	at := func(name string, days int) backup.Manifest {
		return backup.Manifest{Name: name, Created: now.AddDate(0, 0, -days)}
	}
	all := []backup.Manifest{at("by-hand", 0), at("scheduled-4", 1), at("scheduled-3", 2), at("backup-x", 3), at("scheduled-2", 4), at("scheduled-1", 9)}
	for name, tc := range map[string]struct {
		all   []backup.Manifest
		keep  v1alpha1.BackupKeep
		began map[string]time.Time
		want  string
	}{
		"the last":             {all, v1alpha1.BackupKeep{Last: 1}, nil, "scheduled-3 scheduled-2 scheduled-1"},
		"days":                 {all, v1alpha1.BackupKeep{Daily: 3}, nil, "scheduled-1"},
		"weeks":                {all, v1alpha1.BackupKeep{Weekly: 2}, nil, "scheduled-3 scheduled-2"},
		"nothing said":         {all, v1alpha1.BackupKeep{}, nil, ""},
		"an upgrade":           {all, v1alpha1.BackupKeep{Last: 1}, map[string]time.Time{"upgrade-x": now.AddDate(0, 0, -3)}, "scheduled-3 scheduled-1"},
		"two upgrades":         {all, v1alpha1.BackupKeep{Last: 1}, map[string]time.Time{"a": now.AddDate(0, 0, -3), "b": now.AddDate(0, 0, -8)}, "scheduled-3"},
		"the only good one":    {all[4:5], v1alpha1.BackupKeep{Last: 1}, nil, ""},
		"none of the schedule": {all[:1], v1alpha1.BackupKeep{Last: 1}, nil, ""},
	} {
		if got := strings.Join(Surplus(tc.all, tc.keep, tc.began, now), " "); got != tc.want {
			t.Errorf("%s: %q goes, want %q", name, got, tc.want)
		}
	}
}

// TestGather: parts of two clusters are no backup.
func TestGather(t *testing.T) {
	part := func(name string) []backup.Part { return []backup.Part{{Object: name}} }
	m := backup.Manifest{}
	if err := Gather(&m, []string{"cp1", "cp2"}, []offsite.SendData{{Identity: "a", Parts: part("x")}, {Identity: "a", Parts: part("y")}}); err != nil || len(m.Parts) != 2 || m.Identity != "a" {
		t.Errorf("%+v %v", m, err)
	}
	if err := Gather(&m, []string{"cp1", "cp2"}, []offsite.SendData{{Identity: "a"}, {Identity: "b"}}); err == nil || !strings.Contains(err.Error(), "cp1 and cp2 are of different clusters") {
		t.Errorf("%v", err)
	}
}

// TestNamed: a name, its URL, or another URL; a password is nowhere.
func TestNamed(t *testing.T) {
	c := document(t)
	for text, want := range map[string]string{"offsite": "offsite", "s3://bucket/a": "offsite", "s3://bucket/b": "", "shared": "shared"} {
		if got, err := Named(c, text); err != nil || got.Name != want {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"other": "offsite, shared", "sftp://a:secret@b/c": "password", "ftp://x": "begins with none", "file://relative": "is written file:///"} {
		if _, err := Named(c, text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
