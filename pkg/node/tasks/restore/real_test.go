package restore

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// programs are real ones of etcd: those that a variable names, with the etcdutl beside.
type programs struct{ etcd, etcdutl string }

func programsOf(t *testing.T, variable string) programs {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Skip(variable + " does not name an etcd")
	}
	p := programs{program, filepath.Join(filepath.Dir(program), "etcdutl")}
	if _, err := os.Stat(p.etcdutl); err != nil {
		t.Skip(err)
	}
	return p
}

// realUtl runs the etcdutl of a host whose root is a directory.
type realUtl struct {
	t       *testing.T
	root    string
	program string
}

func (r realUtl) Run(ctx context.Context, c host.Command) (host.Output, error) {
	switch c.Argv[0] {
	case etcdBinary:
		out, err := exec.CommandContext(ctx, filepath.Join(filepath.Dir(r.program), "etcd"), c.Argv[1:]...).Output()
		return host.Output{Stdout: out}, err
	case "chown":
		return host.Output{}, nil // There is no user etcd here.
	case etcdutl:
		args := append([]string{}, c.Argv[1:]...)
		for i, a := range args {
			if filepath.IsAbs(a) {
				args[i] = filepath.Join(r.root, a)
			}
		}
		out, err := exec.CommandContext(ctx, r.program, args...).CombinedOutput()
		if err != nil {
			return host.Output{ExitCode: 1, Stderr: out}, &host.CommandError{Argv: c.Argv, Output: host.Output{Stderr: out}, Err: err}
		}
		return host.Output{Stdout: out}, nil
	}
	r.t.Errorf("nobody expected %s", strings.Join(c.Argv, " "))
	return host.Output{}, fmt.Errorf("unexpected command %s", c.Argv[0])
}

// member is a real member that runs.
type member struct{ name, client, peer string }

func newMember(t *testing.T, name string) member {
	t.Helper()
	url := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // its address was of interest
		return "http://" + l.Addr().String()
	}
	return member{name, url(), url()}
}

// start runs the member on a data directory, among all. stop ends it as a power loss would.
func (m member) start(t *testing.T, program, dir string, all []member) (stop func()) {
	t.Helper()
	var initial []string
	for _, o := range all {
		initial = append(initial, o.name+"="+o.peer)
	}
	cmd := exec.Command(program, "--name", m.name, "--data-dir", dir, "--listen-client-urls", m.client, "--advertise-client-urls", m.client,
		"--listen-peer-urls", m.peer, "--initial-advertise-peer-urls", m.peer, "--initial-cluster", strings.Join(initial, ","), "--log-level", "error", "--unsafe-no-fsync")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // It was killed.
		}
	}
	t.Cleanup(stop)
	return stop
}

func (m member) connect(t *testing.T) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{m.client}, DialTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // Its member may be gone.
	return c
}

// until asks a member until it answers.
func until[T any](t *testing.T, ask func(context.Context) (T, error)) (answer T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		one, stop := context.WithTimeout(ctx, 3*time.Second)
		answer, err := ask(one)
		stop()
		if err == nil {
			return answer
		}
		if ctx.Err() != nil {
			t.Fatalf("no answer: %v", err)
		}
	}
}

// snapshotWith has an etcd of its own write a key, and keeps a snapshot of it.
func snapshotWith(t *testing.T, program, value, file string) etcd.SnapshotStatus {
	t.Helper()
	m := newMember(t, "old")
	stop := m.start(t, program, filepath.Join(t.TempDir(), "data"), []member{m})
	defer stop()
	c := m.connect(t)
	until(t, func(ctx context.Context) (*clientv3.PutResponse, error) { return c.Put(ctx, "k", value) })
	from := until(t, func(context.Context) (io.ReadCloser, error) { return c.Snapshot(t.Context()) })
	out, err := os.Create(file)
	if err == nil {
		_, err = io.Copy(out, from)
	}
	if err != nil || out.Close() != nil || from.Close() != nil {
		t.Fatal(err)
	}
	status, err := etcd.CheckSnapshot(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// onHost stages a snapshot on a host of its own, by the real etcdutl, and gives etcd's data directory.
func onHost(t *testing.T, p programs, snapshot string, status etcd.SnapshotStatus, name string, members []member) (dir string, err error) {
	t.Helper()
	root := t.TempDir()
	h := hosttest.Open(t, root, realUtl{t, root, p.etcdutl})
	raw, err := os.ReadFile(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Write(t, h, SnapshotPath, string(raw), 0o600)
	if err := os.MkdirAll(h.Path(dataDir), 0o700); err != nil {
		t.Fatal(err)
	}
	s := Spec{Action: Stage, ID: testID, DataDir: dataDir, Name: name, SHA256: status.SHA256, Bytes: status.Bytes}
	for _, m := range members {
		s.Members = append(s.Members, Member{m.name, m.peer})
	}
	_, err = Run(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}, Sink: report.Discard()}, s)
	return h.Path(s.staged()), err
}

// TestRealFewerMembers: of an etcd with three members two are restored, at the addresses that they had,
// on disks that may be new. They are a cluster of two with what the snapshot has, newer than all that
// anybody has seen, and one that still has its old data does not get in.
func TestRealFewerMembers(t *testing.T) {
	p := programsOf(t, "ETCD")
	three := []member{newMember(t, "m1"), newMember(t, "m2"), newMember(t, "m3")}
	snapshot, third := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "third")
	var stops []func()
	for _, m := range three {
		dir := filepath.Join(t.TempDir(), m.name)
		if m.name == "m3" {
			dir = third
		}
		stops = append(stops, m.start(t, p.etcd, dir, three))
	}
	old := three[0].connect(t)
	until(t, func(ctx context.Context) (*clientv3.PutResponse, error) { return old.Put(ctx, "k", "of before") })
	from := until(t, func(context.Context) (io.ReadCloser, error) { return old.Snapshot(t.Context()) })
	out, err := os.Create(snapshot)
	if err == nil {
		_, err = io.Copy(out, from)
	}
	if err != nil || out.Close() != nil {
		t.Fatal(err)
	}
	seen := until(t, func(ctx context.Context) (*clientv3.PutResponse, error) { return old.Put(ctx, "k", "of since") })
	status, err := etcd.CheckSnapshot(t.Context(), snapshot)
	if err != nil {
		t.Fatal(err)
	}
	for _, stop := range stops {
		stop()
	}
	two := three[:2]
	for _, m := range two {
		dir, err := onHost(t, p, snapshot, status, m.name, two)
		if err != nil {
			t.Fatal(err)
		}
		m.start(t, p.etcd, dir, two)
	}
	for _, m := range two {
		c := m.connect(t)
		got := until(t, func(ctx context.Context) (*clientv3.GetResponse, error) { return c.Get(ctx, "k") })
		if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "of before" || got.Header.Revision <= seen.Header.Revision+bumpRevision/2 {
			t.Errorf("%s has %v at revision %d; it was %d", m.name, got.Kvs, got.Header.Revision, seen.Header.Revision)
		}
		list := until(t, func(ctx context.Context) (*clientv3.MemberListResponse, error) { return c.MemberList(ctx) })
		if len(list.Members) != 2 {
			t.Errorf("%s has the members %v", m.name, list.Members)
		}
	}
	// The third one is back with what it had.
	three[2].start(t, p.etcd, third, three)
	until(t, func(ctx context.Context) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, three[2].peer+"/version", nil)
		if err != nil {
			return nil, err
		}
		answer, err := http.DefaultClient.Do(req)
		if err == nil {
			err = answer.Body.Close()
		}
		return answer, err
	})
	first := two[0].connect(t)
	until(t, func(ctx context.Context) (*clientv3.PutResponse, error) { return first.Put(ctx, "k", "of after") })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if got, err := three[2].connect(t).Get(ctx, "k"); err == nil {
		t.Errorf("a member with the old data answers, with %v", got.Kvs)
	}
	if list := until(t, func(ctx context.Context) (*clientv3.MemberListResponse, error) { return first.MemberList(ctx) }); len(list.Members) != 2 {
		t.Errorf("the members are %v", list.Members)
	}
}

// TestRealDuringAnUpgrade: a restore in the middle of an upgrade of etcd has members of two versions. A
// snapshot is restored by each with what it has, and they find each other; what etcd of a newer version
// has stored is refused by 3.6 and later.
func TestRealDuringAnUpgrade(t *testing.T) {
	for _, pair := range [][2]string{{"ETCD_OLDER", "ETCD"}, {"ETCD", "ETCD_NEWER"}} {
		for i, whose := range []string{"a snapshot of the older", "a snapshot of the newer"} {
			t.Run(pair[0]+" beside "+pair[1]+", "+whose, func(t *testing.T) {
				both := []programs{programsOf(t, pair[0]), programsOf(t, pair[1])}
				snapshot := filepath.Join(t.TempDir(), "db")
				status := snapshotWith(t, both[i].etcd, "of before", snapshot)
				two := []member{newMember(t, "m1"), newMember(t, "m2")}
				for j, p := range both {
					dir, err := onHost(t, p, snapshot, status, two[j].name, two)
					if pair[0] == "ETCD" && i == 1 && j == 0 {
						// It would not start, and is found before anything is stopped.
						if err == nil || !strings.Contains(err.Error(), "would not start on it") {
							t.Errorf("3.6 takes what 3.7 has stored: %v", err)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					two[j].start(t, p.etcd, dir, two)
				}
				for _, m := range two {
					c := m.connect(t)
					got := until(t, func(ctx context.Context) (*clientv3.GetResponse, error) { return c.Get(ctx, "k") })
					if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "of before" {
						t.Errorf("%s has %v", m.name, got.Kvs)
					}
				}
			})
		}
	}
}
