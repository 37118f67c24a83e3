package backups

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/offsite"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/s3test"
)

// hosts answers as hosts before a target with some backups do.
type hosts struct {
	t      *testing.T
	listed backup.Listed
	onDisk map[string]*taskbackup.ListData
	mu     sync.Mutex
	// done are the tasks that change something, in their order.
	done []string
	// tidied are the backups that were spared each time the target was tidied.
	tidied []string
}

func (hs *hosts) Run(_ context.Context, name string, req node.Request, _ report.Sink) (node.Result, error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if req.Task == tasks.ListBackups && hs.onDisk[name] != nil {
		raw, err := json.Marshal(hs.onDisk[name])
		return node.Result{Data: raw}, err
	}
	if req.Task != tasks.BackupTarget {
		hs.done = append(hs.done, req.Task+" "+name)
		return node.Result{}, errors.New("not here")
	}
	var spec offsite.TargetSpec
	if err := json.Unmarshal(req.Spec, &spec); err != nil {
		hs.t.Fatal(err)
	}
	if spec.Finish != nil || len(spec.Delete) > 0 {
		hs.done = append(hs.done, "change the target")
	}
	if spec.Tidy {
		hs.tidied = append(hs.tidied, strings.Join(spec.Spared, " "))
	}
	raw, err := json.Marshal(offsite.TargetData{Listed: hs.listed})
	return node.Result{Data: raw}, err
}

func (hs *hosts) options() Options {
	hs.t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		hs.t.Fatal(err)
	}
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "lab"}}
	c.Spec.Hosts = []v1alpha1.Host{{Name: "cp1", Address: "10.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}}
	c.SetDefaults()
	c.Spec.Backup.Recipients = []string{id.Recipient().String()}
	return Options{Cluster: c, Hosts: hs, On: c.Spec.Hosts, Target: &Target{URL: "file:///backups"}}
}

// TestCreateAgain: of a name that is at the target already nothing is made, and that is said: it is
// not the backup of now.
func TestCreateAgain(t *testing.T) {
	before := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	hs := &hosts{t: t, listed: backup.Listed{Backups: []backup.Manifest{{Name: "daily", Created: before, Revision: 7}}}}
	var said []string
	sink := report.SinkFunc(func(e report.Event) {
		if e.Kind == report.Warning {
			said = append(said, e.Message)
		}
	})
	m, err := Create(t.Context(), hs.options(), "daily", sink)
	if err != nil || m.Revision != 7 || len(hs.done) > 0 || !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "of 2026-11-01T03:00:00Z") }) {
		t.Errorf("%+v %v, done %v, said %v", m, err, hs.done, said)
	}
	if _, err := Create(t.Context(), hs.options(), "another", sink); err == nil || len(hs.done) == 0 {
		t.Error("another one was not begun")
	}
}

// TestDeleteRefuses: a number that means nothing keeps nothing from being deleted.
func TestDeleteRefuses(t *testing.T) {
	hs := &hosts{t: t, listed: backup.Listed{Backups: []backup.Manifest{{Name: "b", Created: time.Now()}, {Name: "a", Created: time.Now().Add(-time.Hour)}}}}
	for _, keep := range []backup.Keep{{Last: -1}, {Last: 3, Daily: -1}, {Weekly: -2}} {
		if gone, err := Delete(t.Context(), hs.options(), DeleteOptions{Keep: keep}, report.Discard()); action.KindOf(err) != action.Invalid || len(hs.done) > 0 {
			t.Errorf("%+v: %v, %v", keep, gone, err)
		}
	}
}

// TestOnHosts: what is on the disks is told without an API, the newest first; a host that does not
// answer is an error beside it.
func TestOnHosts(t *testing.T) {
	now := time.Now()
	hs := &hosts{t: t, onDisk: map[string]*taskbackup.ListData{
		"cp1": {Backups: []taskbackup.Backup{{Name: "old", Created: now.Add(-time.Hour)}}, Broken: map[string]string{"half": "it was never finished"}},
		"cp2": {Backups: []taskbackup.Backup{{Name: "new", Created: now}}},
	}}
	o := hs.options()
	o.On = append(o.On, v1alpha1.Host{Name: "cp2", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, v1alpha1.Host{Name: "cp3", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	found, err := OnHosts(t.Context(), o, report.Discard())
	if len(found) != 3 || found[0].Name != "new" || found[0].Node != "cp2" || found[1].Name != "old" || !strings.Contains(found[2].What, "NOT whole") {
		t.Errorf("%+v", found)
	}
	if err == nil || !strings.Contains(err.Error(), "not here") {
		t.Errorf("cp3: %v", err)
	}
}

// TestDeleteWhatWasShown: what was confirmed goes, and nothing else; what may not go any more does
// not, although it was confirmed.
func TestDeleteWhatWasShown(t *testing.T) {
	now := time.Now()
	backupOf := func(name string, age time.Duration) backup.Manifest {
		return backup.Manifest{Name: name, Created: now.Add(-age)}
	}
	all := []backup.Manifest{backupOf("c", 0), backupOf("b", time.Hour), backupOf("a", 2*time.Hour)}
	declined := errors.New("no")
	for name, tc := range map[string]struct {
		d       DeleteOptions
		unknown bool
		// meanwhile is what happens while somebody is asked.
		meanwhile func(hs *hosts) error
		gone      string
		says      string
		changes   bool
	}{
		"by name":             {d: DeleteOptions{Names: []string{"a"}}, gone: "a", changes: true},
		"those that are many": {d: DeleteOptions{Keep: backup.Keep{Last: 1}}, gone: "b a", changes: true},
		"a dry run":           {d: DeleteOptions{Keep: backup.Keep{Last: 1}, DryRun: true}, gone: "b a"},
		"none":                {d: DeleteOptions{Keep: backup.Keep{Last: 9}}},
		"declined":            {d: DeleteOptions{Names: []string{"a"}}, meanwhile: func(*hosts) error { return declined }, says: "no"},
		"one more comes": {d: DeleteOptions{Keep: backup.Keep{Last: 1}}, meanwhile: func(hs *hosts) error {
			hs.listed.Backups = append([]backup.Manifest{backupOf("d", -time.Hour)}, all...)
			return nil
		}, gone: "b a", changes: true},
		"the others are gone":   {d: DeleteOptions{Names: []string{"a"}}, meanwhile: func(hs *hosts) error { hs.listed.Backups = all[2:]; return nil }, says: "no whole backup would be left"},
		"names and a number":    {d: DeleteOptions{Names: []string{"a"}, Keep: backup.Keep{Last: 1}}, says: "either name backups"},
		"neither":               {says: "name backups"},
		"a number, without API": {d: DeleteOptions{Keep: backup.Keep{Last: 1}}, unknown: true, says: "without the API"},
		"a name, without API":   {d: DeleteOptions{Names: []string{"a"}}, unknown: true, gone: "a", changes: true},
	} {
		hs := &hosts{t: t, listed: backup.Listed{Backups: all}}
		o := hs.options()
		o.Unknown, o.InProgress = tc.unknown, []string{"paused", "runs"}
		asked := ""
		tc.d.Confirm = func(_ context.Context, names []string) error {
			asked = strings.Join(names, " ")
			if tc.meanwhile != nil {
				return tc.meanwhile(hs)
			}
			return nil
		}
		gone, err := Delete(t.Context(), o, tc.d, report.Discard())
		if said := err != nil; said != (tc.says != "") || said && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && strings.Join(gone, " ") != tc.gone || (len(hs.done) > 0) != tc.changes || tc.changes && asked != tc.gone {
			t.Errorf("%s: %v is gone, of %q, by %v", name, gone, asked, hs.done)
		}
		// What others have left goes with it, but for what is being made: unless nobody can tell what that is.
		if want := tc.changes && !tc.unknown; want != (len(hs.tidied) == 1) || want && hs.tidied[0] != "paused runs" {
			t.Errorf("%s: tidied but for %q", name, hs.tidied)
		}
	}
}

// TestLeftOut: over SSH a host that is not there is left out, and whoever lists backups learns it.
func TestLeftOut(t *testing.T) {
	hs := &hosts{t: t, onDisk: map[string]*taskbackup.ListData{"cp1": {Backups: []taskbackup.Backup{{Name: "old", Created: time.Now()}}}}}
	c := hs.options().Cluster
	c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: "cp2", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	var said []string
	o := OverSSH(c, hs, map[string]error{"cp2": errors.New("no route")}, report.SinkFunc(func(e report.Event) { said = append(said, e.Message) }))
	found, err := OnHosts(t.Context(), o, report.Discard())
	if len(o.On) != 1 || !o.Unknown || len(said) != 1 || !strings.Contains(said[0], "cp2 is left out: no route") {
		t.Errorf("%+v, said %v", o, said)
	}
	if len(found) != 1 || action.KindOf(err) != action.Unreachable || !strings.Contains(err.Error(), "left out: cp2") {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := Download(t.Context(), o, "old", t.TempDir(), nil, report.Discard()); action.KindOf(err) != action.Invalid {
		t.Errorf("without a target: %v", err)
	}
	o.Target = &Target{URL: "file:///backups"}
	if _, err := Download(t.Context(), o, "old", t.TempDir(), nil, report.Discard()); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "copy it from a host") {
		t.Errorf("a folder of the hosts: %v", err)
	}
}

// TestHere: without a host this machine asks the target itself, for backups of a cluster that is named,
// and for nothing that only a host has or may.
func TestHere(t *testing.T) {
	hs := &hosts{t: t}
	o := hs.options()
	o.Here = true
	for name, set := range map[string]func(*Options){
		"a folder of the hosts": func(o *Options) { o.Of = "prod" },
		"nobody is named":       func(o *Options) { o.Target = &Target{URL: "s3://b"} },
	} {
		one := o
		set(&one)
		if _, err := List(t.Context(), one, report.Discard()); action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.Here, o.On = false, nil
	if _, err := List(t.Context(), o, report.Discard()); action.KindOf(err) != action.Unreachable {
		t.Errorf("no host can be reached: %v", err)
	}
}

// TestDownloadOfALostCluster reads a backup of a cluster whose hosts are gone, from a real server.
func TestDownloadOfALostCluster(t *testing.T) {
	server := s3test.Start(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	o := (&hosts{t: t}).options()
	o.On, o.Here = nil, true
	o.Target = &Target{URL: "s3://" + s3test.Bucket + "/p", Endpoint: server.Endpoint, Region: s3test.Region, Credentials: map[string]string{store.KeyAccess: s3test.Access, store.KeySecret: s3test.Secret}}
	s, err := store.Open(t.Context(), *o.Target)
	if err != nil {
		t.Fatal(err)
	}
	const old = "fedcba9876543210"
	part, err := backup.Send(t.Context(), s, backup.Folder(old, "daily"), backup.Part{Kind: backup.KindSnapshot, Object: "etcd-snapshot.db.age"}, []age.Recipient{id.Recipient()}, strings.NewReader("a snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	if err := backup.Finish(t.Context(), s, backup.Manifest{Name: "daily", Cluster: "prod", Identity: old, Created: time.Now(), Parts: []backup.Part{part}}); err != nil {
		t.Fatal(err)
	}
	if all, err := Owners(t.Context(), o, report.Discard()); err != nil || len(all) != 1 || all[0].Name != "prod" || all[0].Identity != old {
		t.Errorf("%+v %v", all, err)
	}
	o.Of = "prod"
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := Download(t.Context(), o, "daily", dir, []age.Identity{id}, report.Discard()); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "etcd-snapshot.db")); err != nil || string(raw) != "a snapshot" {
		t.Errorf("%q %v", raw, err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Download(t.Context(), o, "daily", filepath.Join(t.TempDir(), "no"), []age.Identity{other}, report.Discard()); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "none of the identities fits") {
		t.Errorf("with the wrong key: %v", err)
	}
}
