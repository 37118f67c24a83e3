//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
)

const restoreDeadline = 20 * time.Minute

// loseData deletes the data of members, and ends them.
func (c *cluster) loseData(t *testing.T, members ...string) {
	t.Helper()
	for _, m := range members {
		c.exec(t, m, "systemctl", "kill", "--signal=KILL", "etcd")
		c.exec(t, m, "systemctl", "stop", "etcd")
		c.exec(t, m, "rm", "-rf", "/var/lib/etcd/member")
	}
}

// restored compares what is there with what was written before a backup and after it.
func (c *cluster) restored(t *testing.T) {
	t.Helper()
	c.settled(t)
	c.asBackedUp(t)
	c.write(t, "again", "yes")
}

// backedUp makes the backup by-hand, with something written before and something since.
func (c *cluster) backedUp(t *testing.T) {
	t.Helper()
	c.write(t, "before", "all of it")
	if r := c.ha(t, suiteDeadline, "backup", "create", "--name", "by-hand", "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Fatalf("backup create: %s", tail(r.String(), 4000))
	}
	c.write(t, "since", "the backup")
}

// asBackedUp finds what was written before the backup, and nothing of what was written since.
func (c *cluster) asBackedUp(t *testing.T) {
	t.Helper()
	if got := c.read(t, "before"); got != "all of it" {
		t.Errorf("what was written before the backup reads %q", got)
	}
	if _, err := c.client.CoreV1().ConfigMaps("default").Get(context.Background(), "since", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what was written since the backup: %v", err)
	}
}

// TestEtcdRestore: the data of all three members is gone, and one command has the cluster back, as
// it was when the backup was made. A client that had seen what is lost is told so.
func TestEtcdRestore(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	c.backedUp(t)
	gone := c.seesTheFuture(t)
	c.loseData(t, c.members(t)...)
	began := time.Now()
	r := c.ha(t, restoreDeadline, "etcd", "restore", "by-hand", "-f", c.file, "--yes")
	if r.code != 0 {
		t.Fatalf("etcd restore: %s", tail(r.String(), 8000))
	}
	t.Logf("etcd restore took %s\n%s", time.Since(began).Round(time.Second), tail(r.stdout, 2000))
	c.restored(t)
	select {
	case <-gone:
	case <-time.After(2 * time.Minute):
		t.Error("an informer that had seen what is lost still believes in it")
	}
	if r := c.ha(t, restoreDeadline, "etcd", "restore", "--take-back", "-f", c.file, "--yes"); r.code == 0 {
		t.Errorf("a restore that is through was taken back: %s", r)
	}
}

// seesTheFuture follows the ConfigMaps as a controller does; the channel is closed once "since" is
// gone for it.
func (c *cluster) seesTheFuture(t *testing.T) <-chan struct{} {
	t.Helper()
	gone := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	lw := cache.NewListWatchFromClient(c.client.CoreV1().RESTClient(), "configmaps", "default", fields.Everything())
	store, informer, events, _ := toolswatch.NewIndexerInformerWatcher(lw, &corev1.ConfigMap{})
	t.Cleanup(events.Stop)
	eventually(t, time.Minute, "the informer has seen what is going to be lost", func() (bool, string) {
		_, there, err := store.GetByKey("default/since")
		return there && err == nil && informer != nil, "not yet"
	})
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e, ok := <-events.ResultChan():
				if !ok {
					return
				}
				if o, is := e.Object.(*corev1.ConfigMap); is && o.Name == "since" && e.Type == watch.Deleted {
					close(gone)
					return
				}
			}
		}
	}()
	return gone
}

// killed runs the program, and kills it after a while.
func (c *cluster) killed(t *testing.T, within time.Duration, args ...string) {
	t.Helper()
	argv := c.haArgv(args...)
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = c.dir
	t.Logf("killed after %s: %v", within, cmd.Run())
}

// TestEtcdRestoreInterrupted: a restore that is killed on its way goes on when it is run again; and
// a survivor's own data is enough where there is no backup.
func TestEtcdRestoreInterrupted(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	c.backedUp(t)
	members := c.members(t)
	c.loseData(t, members[1:]...)
	for _, within := range []time.Duration{5 * time.Second, 15 * time.Second, 30 * time.Second} {
		c.killed(t, within, "etcd", "restore", "by-hand", "-f", c.file, "--yes")
	}
	if r := c.ha(t, restoreDeadline, "etcd", "restore", "by-hand", "-f", c.file, "--yes"); r.code != 0 {
		t.Fatalf("etcd restore: %s", tail(r.String(), 8000))
	}
	c.restored(t)

	c.write(t, "last", "words")
	c.loseData(t, members[:2]...)
	if r := c.ha(t, restoreDeadline, "etcd", "restore", "--from-member", "any", "-f", c.file, "--yes"); r.code != 0 {
		t.Fatalf("etcd restore --from-member: %s", tail(r.String(), 8000))
	}
	c.settled(t)
	if got := c.read(t, "last"); got != "words" {
		t.Errorf("what the survivor had acknowledged reads %q", got)
	}
}

// s3 starts a real S3 server on this machine, and names it as the hosts reach it.
func (c *cluster) s3(t *testing.T) (endpoint, dir string) {
	t.Helper()
	program := os.Getenv("VERSITYGW")
	if program == "" {
		bin := filepath.Join(c.dir, "bin")
		install := exec.Command("go", "install", "github.com/versity/versitygw/cmd/versitygw@v1.8.0")
		install.Env = append(os.Environ(), "GOBIN="+bin)
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("build the S3 server: %v\n%s", err, out)
		}
		program = filepath.Join(bin, "versitygw")
	}
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "backups"), 0o700); err != nil {
		t.Fatal(err)
	}
	// By which address of this machine a host is reached: no packet is sent.
	probe, err := net.Dial("udp", net.JoinHostPort(c.addressOf(c.names("control-plane")[0]), "9"))
	if err != nil {
		t.Fatal(err)
	}
	own, _, err := net.SplitHostPort(probe.LocalAddr().String())
	if err := errors.Join(err, probe.Close()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(own, "0"))
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--access", "backups", "--secret", "a-secret-of-the-lab", "--port", address, "posix", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, 30*time.Second, "the S3 server listens", func() (bool, string) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false, err.Error()
		}
		return conn.Close() == nil, ""
	})
	return "http://" + address, dir
}

// backupKeys makes an identity that backups are encrypted to, and writes it and the credentials of the
// S3 server into files.
func (c *cluster) backupKeys(t *testing.T) (id *age.X25519Identity, keys, credentials string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	keys, credentials = filepath.Join(c.dir, "identity.txt"), filepath.Join(c.dir, "s3.yaml")
	if err := errors.Join(os.WriteFile(keys, []byte(id.String()+"\n"), 0o600),
		os.WriteFile(credentials, []byte("accessKeyID: backups\nsecretAccessKey: a-secret-of-the-lab\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return id, keys, credentials
}

// TestBackupToS3: a backup leaves the hosts for a real S3 server, encrypted; it is listed, verified
// by restoring it, downloaded, and the cluster is restored from it when nothing is left on the hosts.
func TestBackupToS3(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	endpoint, dir := c.s3(t)
	id, keys, credentials := c.backupKeys(t)
	raw, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(c.dir, "cluster-backup.yaml")
	text := strings.Replace(string(raw), "\nspec:\n", "\nspec:\n  backup:\n    recipients: ["+id.Recipient().String()+"]\n    targets:\n    - {name: offsite, url: \"s3://backups/lab\", endpoint: \""+endpoint+"\", region: us-east-1}\n", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ha := func(args ...string) result {
		t.Helper()
		r := c.ha(t, restoreDeadline, append(args, "-f", file, "--credentials", credentials)...)
		if strings.Contains(r.String(), "a-secret-of-the-lab") || strings.Contains(r.String(), id.String()) {
			t.Errorf("%v prints a secret", args)
		}
		return r
	}
	c.write(t, "before", "all of it")
	if r := ha("backup", "create", "--to", "offsite", "--name", "daily-1"); r.code != 0 {
		t.Fatalf("backup create: %s", tail(r.String(), 4000))
	}
	if r := ha("backup", "list", "--to", "offsite", "-o", "json"); r.code != 0 {
		t.Fatalf("backup list: %s", r)
	} else {
		var list struct {
			Backups []struct{ Name string }
			Broken  map[string]string
		}
		if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list.Backups) != 1 || list.Backups[0].Name != "daily-1" || len(list.Broken) > 0 {
			t.Errorf("backup list: %v %s", err, r)
		}
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".age") {
			return err
		}
		head := make([]byte, 21)
		f, err := os.Open(path)
		if err == nil {
			_, err = f.Read(head)
			err = errors.Join(err, f.Close())
		}
		if err == nil && string(head) != "age-encryption.org/v1" {
			t.Errorf("%s is not encrypted: %q", path, head)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if r := ha("backup", "verify", "daily-1", "--to", "offsite", "--identity", keys); r.code != 0 {
		t.Errorf("backup verify: %s", tail(r.String(), 4000))
	}
	if r := ha("backup", "download", "daily-1", "--to", "offsite", "--identity", keys, "--dir", filepath.Join(c.dir, "downloaded")); r.code != 0 {
		t.Errorf("backup download: %s", tail(r.String(), 4000))
	}
	if r := ha("backup", "delete", "daily-1", "--to", "offsite", "--yes"); r.code == 0 {
		t.Errorf("the only backup was deleted: %s", r)
	}
	c.write(t, "since", "the backup")
	c.loseData(t, c.members(t)...)
	for _, h := range c.names("control-plane", "etcd") {
		c.exec(t, h, "rm", "-rf", "/var/lib/kubectl-ha/backups")
	}
	if r := ha("etcd", "restore", "daily-1", "--from", "offsite", "--identity", keys, "--yes"); r.code != 0 {
		t.Fatalf("etcd restore: %s", tail(r.String(), 8000))
	}
	c.restored(t)
}
