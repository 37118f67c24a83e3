package restore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	dataDir = "/var/lib/etcd"
	testID  = "restore-20261129-200000"
)

// world is a host with an etcd of which etcdutl and systemctl are fakes.
type world struct {
	t        *testing.T
	root     string
	commands *hosttest.Commander
	snapshot []byte
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, root: t.TempDir(), commands: hosttest.NewCommander(t), snapshot: snapshotOf(t)}
	h := w.host()
	hosttest.Write(t, h, dataDir+"/member/snap/db", "the old data", 0o600)
	hosttest.Write(t, h, manifestsDir+"/kube-apiserver.yaml", "kind: Pod", 0o600)
	hosttest.Write(t, h, manifestsDir+"/kube-scheduler.yaml", "kind: Pod", 0o600)
	hosttest.Write(t, h, manifestsDir+"/other.yaml", "not ours", 0o600)
	w.commands.OnUnit("etcd.service", "LoadState=loaded", "ActiveState=inactive", "UnitFileState=enabled").
		OnUnit("kubelet.service", "LoadState=loaded", "ActiveState=active", "UnitFileState=enabled").
		On("systemctl restart kubelet.service", "").On("systemctl start --no-block etcd.service", "").
		On("chown -R etcd:etcd "+dataDir+"/restored-"+testID, "")
	w.commands.On(etcdBinary+" --version", "etcd Version: 3.6.16\n")
	w.etcdutl(func() error {
		hosttest.Write(t, h, dataDir+"/restored-"+testID+"/member/snap/db", "the restored data", 0o600)
		return nil
	})
	return w
}

func (w *world) etcdutl(do func() error) {
	line := strings.Join([]string{etcdutl, "snapshot", "restore", SnapshotPath, "--data-dir", dataDir + "/restored-" + testID, "--name", "m1",
		"--initial-cluster", "m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380", "--initial-cluster-token", testID, "--initial-advertise-peer-urls", "https://10.0.0.1:2380",
		"--bump-revision", "1000000000", "--mark-compacted"}, " ")
	w.commands.OnFunc(line, func(c host.Command) (host.Output, error) {
		if err := do(); err != nil {
			return host.Output{ExitCode: 1}, &host.CommandError{Argv: c.Argv, Err: err}
		}
		return host.Output{}, nil
	})
}

func (w *world) host() *host.Host { return hosttest.Open(w.t, w.root, w.commands) }

func (w *world) spec(a Action) Spec {
	sum := sha256.Sum256(w.snapshot)
	return Spec{Action: a, ID: testID, DataDir: dataDir, Name: "m1", SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(w.snapshot)), APIAddress: "127.0.0.1:1",
		Members: []Member{{"m1", "https://10.0.0.1:2380"}, {"m2", "https://10.0.0.2:2380"}}}
}

func (w *world) try(s Spec) (Data, error) {
	w.t.Helper()
	env := node.Env{Host: w.host(), Progress: func(string, ...any) {}, Sink: report.Discard()}
	data, err := Run(w.t.Context(), env, s)
	d, _ := data.(Data)
	return d, err
}

func (w *world) do(s Spec) Data {
	w.t.Helper()
	d, err := w.try(s)
	if err != nil {
		w.t.Fatalf("%s: %v", s.Action, err)
	}
	return d
}

// send sends the snapshot in pieces.
func (w *world) send() {
	w.t.Helper()
	s := w.spec(Receive)
	for have := w.do(s).Have; have < s.Bytes; {
		s.Offset = have
		s.Data = w.snapshot[have:min(have+1000, s.Bytes)]
		have = w.do(s).Have
	}
}

func (w *world) read(file string) string {
	w.t.Helper()
	raw, err := os.ReadFile(filepath.Join(w.root, file))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return string(raw)
}

// snapshotOf is a database as etcd's, with its checksum behind it.
func snapshotOf(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		keys, err := tx.CreateBucket([]byte("key"))
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucket([]byte("meta")); err != nil {
			return err
		}
		return keys.Put([]byte("\x00\x00\x00\x00\x00\x00\x00\x07_\x00\x00\x00\x00\x00\x00\x00\x00"), []byte("v"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	return append(raw, sum[:]...)
}

// TestStarts: etcd from 3.6 on does not start on what a newer one has stored.
func TestStarts(t *testing.T) {
	for in, ok := range map[[2]string]bool{
		{"", "3.6.16"}: true, {"3.6.0", "3.6.16"}: true, {"3.6.0", "3.7.3"}: true, {"3.7.0", "3.6.16"}: false, {"3.6.0", "3.5.35"}: true, {"3.7.0", ""}: true, {"garbled", "3.6.16"}: true,
	} {
		if err := starts(in[0], in[1]); (err == nil) != ok {
			t.Errorf("%v: %v", in, err)
		}
	}
}

func TestAllTheWay(t *testing.T) {
	w := newWorld(t)
	w.send()
	if !w.do(w.spec(Receive)).Already {
		t.Error("what has arrived is asked for again")
	}
	if d := w.do(w.spec(Stage)); d.Snapshot == nil || d.Snapshot.Revision != 7 {
		t.Errorf("%+v", d)
	}
	if got := w.read(dataDir + "/member/snap/db"); got != "the old data" {
		t.Errorf("the data in use after the staging: %q", got)
	}
	w.do(w.spec(StopAPI))
	if w.read(manifestsDir+"/kube-apiserver.yaml") != "" || w.read(manifestsDir+"/other.yaml") == "" {
		t.Error("the wrong manifests were taken away")
	}
	w.do(w.spec(Swap))
	if now, before := w.read(dataDir+"/member/snap/db"), w.read(dataDir+"/member.before-"+testID+"/snap/db"); now != "the restored data" || before != "the old data" {
		t.Errorf("now %q, put aside %q", now, before)
	}
	w.do(w.spec(Start))
	w.do(w.spec(ServeAPI))
	if w.read(manifestsDir+"/kube-apiserver.yaml") == "" || w.read(manifestsDir+"/kube-scheduler.yaml") != "" {
		t.Error("not the apiserver alone serves")
	}
	w.do(w.spec(Serve))
	if w.read(manifestsDir+"/kube-scheduler.yaml") == "" {
		t.Error("the rest does not serve")
	}
	w.do(w.spec(Finish))
	if got := w.commands.Lines(); !slices.Contains(got, "systemctl restart kubelet.service") || !slices.Contains(got, "systemctl start --no-block etcd.service") {
		t.Errorf("%v", got)
	}
	// Nothing of it stays but what was put aside.
	if w.read(SnapshotPath) != "" || w.read(dataDir+"/member.before-"+testID+"/snap/db") == "" {
		t.Error("the snapshot stays, or the former data is gone")
	}
}

// TestAgain: each step can be run again, and changes nothing more.
func TestAgain(t *testing.T) {
	w := newWorld(t)
	w.send()
	for _, a := range []Action{Stage, StopAPI, Swap, ServeAPI, Serve} {
		w.do(w.spec(a))
		w.do(w.spec(a))
	}
	if now, before := w.read(dataDir+"/member/snap/db"), w.read(dataDir+"/member.before-"+testID+"/snap/db"); now != "the restored data" || before != "the old data" {
		t.Errorf("now %q, put aside %q", now, before)
	}
}

// TestInterrupted: a swap that was killed between any two of its renames goes on.
func TestInterrupted(t *testing.T) {
	rename := func(w *world, from, to string) {
		if err := os.Rename(filepath.Join(w.root, from), filepath.Join(w.root, to)); err != nil {
			t.Fatal(err)
		}
	}
	for name, kill := range map[string]func(w *world){
		"before it":               func(*world) {},
		"after the old was aside": func(w *world) { rename(w, dataDir+"/member", dataDir+"/member.before-"+testID) },
		"after the new was in": func(w *world) {
			rename(w, dataDir+"/member", dataDir+"/member.before-"+testID)
			rename(w, dataDir+"/restored-"+testID+"/member", dataDir+"/member")
		},
		"and etcd was started then": func(w *world) {
			rename(w, dataDir+"/member", dataDir+"/member.before-"+testID)
			hosttest.Write(t, w.host(), dataDir+"/member/snap/db", "a stray's", 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.send()
			w.do(w.spec(Stage))
			kill(w)
			w.do(w.spec(Swap))
			if now, before := w.read(dataDir+"/member/snap/db"), w.read(dataDir+"/member.before-"+testID+"/snap/db"); now != "the restored data" || before != "the old data" {
				t.Errorf("now %q, put aside %q", now, before)
			}
		})
	}
	t.Run("in the staging", func(t *testing.T) {
		w := newWorld(t)
		w.send()
		w.etcdutl(func() error {
			hosttest.Write(t, w.host(), dataDir+"/restored-"+testID+"/member/half", "x", 0o600)
			return errors.New("killed")
		})
		if _, err := w.try(w.spec(Stage)); err == nil {
			t.Fatal("no error")
		}
		if _, err := w.try(w.spec(Swap)); err == nil || !strings.Contains(err.Error(), "not staged") {
			t.Fatalf("half of it was taken: %v", err)
		}
		w.etcdutl(func() error {
			if w.read(dataDir+"/restored-"+testID+"/member/half") != "" {
				return errors.New("there is something in the way")
			}
			hosttest.Write(t, w.host(), dataDir+"/restored-"+testID+"/member/snap/db", "the restored data", 0o600)
			return nil
		})
		w.do(w.spec(Stage))
	})
}

// TestDataIsGone: a member whose data was deleted has nothing to put aside.
func TestDataIsGone(t *testing.T) {
	w := newWorld(t)
	if err := os.RemoveAll(filepath.Join(w.root, dataDir, "member")); err != nil {
		t.Fatal(err)
	}
	w.send()
	w.do(w.spec(Stage))
	w.do(w.spec(Swap))
	if now := w.read(dataDir + "/member/snap/db"); now != "the restored data" {
		t.Errorf("%q", now)
	}
}

func TestTakeBack(t *testing.T) {
	for name, upTo := range map[string][]Action{"staged": {Stage}, "swapped": {Stage, StopAPI, Swap}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.send()
			for _, a := range upTo {
				w.do(w.spec(a))
			}
			w.do(w.spec(TakeBack))
			w.do(w.spec(Serve))
			if now := w.read(dataDir + "/member/snap/db"); now != "the old data" {
				t.Errorf("%q", now)
			}
			if w.read(manifestsDir+"/kube-apiserver.yaml") == "" || w.read(statePath) != "" {
				t.Error("the API does not serve, or it is still noted")
			}
			if len(upTo) > 1 && w.read(dataDir+"/member.undone-"+testID+"/snap/db") != "the restored data" {
				t.Error("what was restored is gone")
			}
		})
	}
}

// TestTakenBackInPart: taking back was killed before it forgot the restore. Both ways are open: it
// is gone on with, or the restore is begun anew and then has the restored data, not what was put back.
func TestTakenBackInPart(t *testing.T) {
	for name, upTo := range map[string][]Action{"staged": {Stage}, "swapped": {Stage, Swap}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.send()
			for _, a := range upTo {
				w.do(w.spec(a))
			}
			killed := func() {
				w.commands.OnUnit("etcd.service", "LoadState=loaded", "ActiveState=inactive", "UnitFileState=disabled").
					OnFunc("systemctl enable etcd.service", func(c host.Command) (host.Output, error) {
						return host.Output{ExitCode: 1}, &host.CommandError{Argv: c.Argv, Err: errors.New("killed")}
					})
				if _, err := w.try(w.spec(TakeBack)); err == nil {
					t.Fatal("it was not killed")
				}
				w.commands.OnUnit("etcd.service", "LoadState=loaded", "ActiveState=inactive", "UnitFileState=enabled")
			}
			killed()
			for _, a := range []Action{Stage, Swap} {
				w.do(w.spec(a))
			}
			if now := w.read(dataDir + "/member/snap/db"); now != "the restored data" {
				t.Errorf("the restore, begun anew, ends with %q", now)
			}
			killed()
			w.do(w.spec(TakeBack))
			if now := w.read(dataDir + "/member/snap/db"); now != "the old data" || w.read(statePath) != "" {
				t.Errorf("taken back: %q, noted %q", now, w.read(statePath))
			}
		})
	}
}

// TestStagedDataWasRemoved: what somebody has removed is not taken for what was put into place.
func TestStagedDataWasRemoved(t *testing.T) {
	w := newWorld(t)
	w.send()
	w.do(w.spec(Stage))
	if err := os.RemoveAll(filepath.Join(w.root, dataDir, "restored-"+testID)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(w.spec(Swap)); err == nil {
		t.Errorf("the old data counts as restored: %q", w.read(dataDir+"/member/snap/db"))
	}
	w.do(w.spec(Stage))
	w.do(w.spec(Swap))
	if now := w.read(dataDir + "/member/snap/db"); now != "the restored data" {
		t.Errorf("%q", now)
	}
}

// TestRefused: what is wrong with a snapshot is found before anything of the cluster is touched.
func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(w *world) Spec
		want  string
	}{
		"a corrupt snapshot": {func(w *world) Spec {
			w.snapshot[5000] ^= 1
			w.send()
			return w.spec(Stage)
		}, "SHA-256"},
		"no snapshot": {func(w *world) Spec { return w.spec(Stage) }, "no such file"},
		"another one": {func(w *world) Spec {
			w.send()
			s := w.spec(Stage)
			s.SHA256 = strings.Repeat("0", 64)
			return s
		}, "instead of"},
		"in another restore": {func(w *world) Spec {
			hosttest.Write(t, w.host(), statePath, `{"id":"restore-1"}`, 0o600)
			w.send()
			return w.spec(Stage)
		}, "another restore, restore-1"},
		"not staged":           {func(w *world) Spec { return w.spec(Swap) }, "nothing was staged"},
		"no member of it":      {func(w *world) Spec { s := w.spec(Stage); s.Name = "m9"; return s }, "none of the members"},
		"an ID that leads out": {func(w *world) Spec { s := w.spec(Swap); s.ID = "../x"; return s }, "can't be the ID"},
		"a relative directory": {func(w *world) Spec { s := w.spec(Swap); s.DataDir = "etcd"; return s }, "not a clean absolute path"},
		"a step of later":      {func(w *world) Spec { return w.spec("dance") }, "no step"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.try(tc.spoil(w))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v", err)
			}
			if w.read(dataDir+"/member/snap/db") != "the old data" || w.read(manifestsDir+"/kube-apiserver.yaml") == "" {
				t.Error("the cluster was touched")
			}
		})
	}
}

// TestReceive: an interrupted transfer goes on from where it was, and what arrives damaged does
// not stay.
func TestReceive(t *testing.T) {
	w := newWorld(t)
	s := w.spec(Receive)
	s.Data = w.snapshot[:1000]
	if d := w.do(s); d.Have != 1000 {
		t.Errorf("%+v", d)
	}
	// The same piece again, as when its answer was lost.
	if d := w.do(s); d.Have != 1000 {
		t.Errorf("again: %+v", d)
	}
	s.Offset, s.Data = 1000, bytes.Repeat([]byte{1}, len(w.snapshot)-1000)
	if _, err := w.try(s); err == nil || !strings.Contains(err.Error(), "it was removed") {
		t.Errorf("%v", err)
	}
	if d := w.do(w.spec(Receive)); d.Have != 0 {
		t.Errorf("after damage: %+v", d)
	}
	w.send()
	if got := w.read(SnapshotPath); got != string(w.snapshot) {
		t.Errorf("%d bytes", len(got))
	}
}

// TestReceiveKilledAtTheEnd: all has arrived, and nobody has judged it. What is whole is taken, what
// an earlier restore of another snapshot has left goes.
func TestReceiveKilledAtTheEnd(t *testing.T) {
	for name, left := range map[string]func(whole []byte) []byte{
		"it is whole":                          bytes.Clone,
		"another one, as long":                 func(b []byte) []byte { return bytes.Repeat([]byte{1}, len(b)) },
		"another one, longer than this one is": func(b []byte) []byte { return append(bytes.Clone(b), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			hosttest.Write(t, w.host(), partialPath, string(left(w.snapshot)), 0o600)
			w.send()
			if w.read(SnapshotPath) != string(w.snapshot) || w.read(partialPath) != "" {
				t.Error("the snapshot is not there, or something is left of its arrival")
			}
		})
	}
}
