package offsite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestSendAgain: a whole backup at the target is left as it is, byte by byte: by who has made it, and
// by who has another one of its name. Only what is not whole is sent anew.
func TestSendAgain(t *testing.T) {
	target, root := t.TempDir(), t.TempDir()
	env := node.Env{Host: hosttest.Open(t, root, hosttest.NewCommander(t)), Progress: func(string, ...any) {}, Sink: report.Discard()}
	ca, err := pki.NewCA("etcd", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Write(t, env.Host, etcdmember.PKIDir+"/ca.crt", string(ca.CertPEM), 0o644)
	hosttest.Write(t, env.Host, "/etc/kubernetes/admin.conf", "one", 0o600)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	back := func(name string) {
		t.Helper()
		if _, err := taskbackup.Run(t.Context(), env, taskbackup.Spec{Operation: name}); err != nil {
			t.Fatal(err)
		}
	}
	spec := SendSpec{Backup: "b", Host: "cp1", Recipients: []string{id.Recipient().String()}, Store: store.Config{URL: "file://" + target}}
	send := func() (SendData, error) {
		d, err := Send(t.Context(), env, spec)
		data, _ := d.(SendData)
		return data, err
	}
	back("b")
	first, err := send()
	if err != nil {
		t.Fatal(err)
	}
	finish := TargetSpec{Store: spec.Store, Finish: &backup.Manifest{Name: "b", Created: time.Now().UTC().Truncate(time.Second), Parts: first.Parts}}
	if _, err := Target(t.Context(), env, finish); err != nil {
		t.Fatal(err)
	}
	object := filepath.Join(target, first.Identity, "b", first.Parts[0].Object)
	whole, err := os.ReadFile(object)
	if err != nil {
		t.Fatal(err)
	}
	unchanged := func(when string) {
		t.Helper()
		if now, err := os.ReadFile(object); err != nil || string(now) != string(whole) {
			t.Errorf("%s the backup at the target is another one: %v", when, err)
		}
	}
	if again, err := send(); err != nil || again.Parts[0] != first.Parts[0] {
		t.Errorf("again: %+v %v", again, err)
	}
	unchanged("sent again,")
	// Another one, of the same name.
	if err := os.RemoveAll(filepath.Join(root, taskbackup.Dir, "b")); err != nil {
		t.Fatal(err)
	}
	hosttest.Write(t, env.Host, "/etc/kubernetes/admin.conf", "two", 0o600)
	back("b")
	if _, err := send(); err == nil || !strings.Contains(err.Error(), "another backup called b") {
		t.Errorf("another one of its name: %v", err)
	}
	unchanged("with another one of its name,")
	// What is not whole is no backup.
	if err := os.Truncate(object, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := send(); err != nil {
		t.Errorf("in place of a broken one: %v", err)
	}
}
