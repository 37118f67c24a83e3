package schedule

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	base "github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
)

func document(t *testing.T) *v1alpha1.Cluster {
	t.Helper()
	c, _, err := v1alpha1.Load([]byte(strings.Join([]string{
		"apiVersion: kubectl-ha.dev/v1alpha1", "kind: Cluster", "metadata: {name: test}",
		"spec:", "  kubernetesVersion: v1.36.3", "  virtualIP: 10.77.0.100", "  hosts:",
		"  - {name: cp1, address: 10.77.0.11, roles: [control-plane]}",
		"  - {name: cp2, address: 10.77.0.12, roles: [control-plane]}",
		"  - {name: cp3, address: 10.77.0.13, roles: [control-plane]}",
		"  - {name: w1, address: 10.77.0.21}",
		"  backup:",
		"    recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]",
		"    targets:", "    - {name: offsite, url: 's3://bucket/a'}", "",
	}, "\n")), "cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func agents(digit string, archs ...string) (out v1alpha1.Agents) {
	for _, arch := range archs {
		out = append(out, v1alpha1.Agent{Arch: arch, Image: bundle.AgentRepository + ":v1@sha256:" + strings.Repeat(digit, 63) + arch[:1], SHA256: "x"})
	}
	return out
}

// TestObject: the run learns where its backups go and what stays; the CronJob says the same to who
// reads it.
func TestObject(t *testing.T) {
	want := Settings{To: "offsite", Keep: v1alpha1.BackupKeep{Last: 2, Weekly: 5}}
	j, err := object(Spec{Cron: "@hourly", Settings: want, Agents: agents("a", "arm64", "amd64")}, document(t))
	if err != nil {
		t.Fatal(err)
	}
	main := j.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
	var got Settings
	if len(main.Args) != 6 || main.Args[1] != "scheduled-backup" || main.Args[2] != "--agents" || main.Args[4] != "--settings" || json.Unmarshal([]byte(main.Args[5]), &got) != nil || got != want {
		t.Errorf("%q", main.Args)
	}
	if read, err := settingsOf(j); err != nil || read != want {
		t.Errorf("%+v %v", read, err)
	}
	if j.Name != Name || j.Spec.Schedule != "@hourly" || j.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent || main.Image != agents("a", "arm64")[0].Image {
		t.Errorf("%+v", j.Spec)
	}
	if _, err := object(Spec{Cron: "every day", Agents: agents("a", "amd64")}, document(t)); err == nil || !strings.Contains(err.Error(), DefaultCron) {
		t.Errorf("%v", err)
	}
	if _, err := settingsOf(&batchv1.CronJob{}); err == nil {
		t.Error("a schedule without settings sends nowhere")
	}
}

// made is a finished Operation of a schedule; at a revision when its backup is whole.
func made(t *testing.T, name string, phase v1alpha1.OperationPhase, revision int64) v1alpha1.Operation {
	t.Helper()
	op := v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{base.AnnotationScheduled: Name}},
		Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationBackup, Backup: &v1alpha1.BackupSpec{}}, Status: v1alpha1.OperationStatus{Phase: phase}}
	if revision > 0 {
		if err := op.SetMadeBackup(v1alpha1.MadeBackup{Name: name, Created: time.Unix(revision, 0), Revision: revision}); err != nil {
			t.Fatal(err)
		}
	}
	return op
}

// TestSurplus: the records of many failures don't push out the last good backup's, and nobody
// else's Operations go.
func TestSurplus(t *testing.T) {
	const ok, failed = v1alpha1.OperationSucceeded, v1alpha1.OperationFailed
	byHand := v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "upgrade"}, Status: v1alpha1.OperationStatus{Phase: ok}}
	all := []v1alpha1.Operation{byHand, made(t, "a", ok, 1), made(t, "b", ok, 2)}
	for i := range 6 {
		all = append(all, made(t, fmt.Sprintf("f%d", i), failed, 0))
	}
	all = append(all, made(t, "now", v1alpha1.OperationRunning, 0))
	if got := surplus(all); strings.Join(got, " ") != "a f0" {
		t.Errorf("%q", got)
	}
	if m := last(all); m == nil || m.Name != "b" {
		t.Errorf("%+v", m)
	}
	// The backup is whole also where only the removal of earlier ones has failed.
	if m := last(append(all, made(t, "kept", failed, 9))); m == nil || m.Revision != 9 {
		t.Errorf("%+v", m)
	}
	if got := surplus(all[:4]); len(got) != 0 || last(all[:1]) != nil {
		t.Errorf("%q", got)
	}
	broken := made(t, "broken", ok, 0)
	broken.Annotations[v1alpha1.AnnotationBackup] = "{"
	if last([]v1alpha1.Operation{broken}) != nil {
		t.Error("what can't be read is no backup")
	}
}

// TestProblem: a backup that is two periods old is late.
func TestProblem(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.Local)
	for want, s := range map[string]base.State{
		"": {Cron: DefaultCron, Since: now.AddDate(0, -1, 0), LastSuccess: now.Add(-33 * time.Hour)},
		"the last good scheduled backup is older than twice the schedule's period: last at": {Cron: DefaultCron, Since: now.AddDate(0, -1, 0), LastSuccess: now.Add(-57 * time.Hour)},
		"older than twice the schedule's period: never":                                     {Cron: "0 * * * *", Since: now.Add(-4 * time.Hour)},
		"the scheduled backup is suspended":                                                 {Cron: DefaultCron, Since: now.AddDate(0, -1, 0), Suspended: true},
		"the last scheduled backup has failed: no":                                          {Cron: DefaultCron, Since: now, Failed: "no", FailedJob: "x"},
	} {
		what, next := State{State: s}.Problem(now)
		if !strings.Contains(what, want) || (want == "") != (what == "") || (what == "") != (next == "") {
			t.Errorf("%q: %q, next %q", want, what, next)
		}
	}
	for text, want := range map[string]time.Duration{DefaultCron: 24 * time.Hour, "0 3 * * 1-5": 72 * time.Hour, "*/5 * * * *": 5 * time.Minute, "0 0 30 2 *": 0} {
		if got, err := Backup().Period(text, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
}
