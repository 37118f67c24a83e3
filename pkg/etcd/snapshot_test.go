package etcd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestRealSnapshot takes a snapshot of a real cluster, one member of which is
// away, reads it back, and has etcd's own program restore it.
func TestRealSnapshot(t *testing.T) {
	binary := realBinary(t)
	ca := newAuthority(t)
	members := startReal(t, binary, ca, 3)
	cert, key := ca.issue(t, "client")
	var urls []string
	for _, m := range members {
		urls = append(urls, m.url)
	}
	client, err := Connect(t.Context(), urls, TLS{CA: ca.pem, Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := client.WaitHealthy(t.Context(), time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	kv := client.members[1].client
	for i := range 300 {
		if _, err := kv.Put(t.Context(), fmt.Sprintf("/k/%d", i%100), strings.Repeat("v", 1000)); err != nil {
			t.Fatal(err)
		}
	}
	members[0].stop()

	path, s := take(t, client)
	if s.Endpoint == urls[0] || s.AtLeast < 300 || s.Bytes == 0 {
		t.Errorf("the snapshot is of %s, at least of revision %d, %d bytes", s.Endpoint, s.AtLeast, s.Bytes)
	}
	got, err := CheckSnapshot(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Revision < s.AtLeast || got.Entries < 300 || got.Bytes == 0 || len(got.SHA256) != 64 {
		t.Errorf("read back %+v, at least revision %d", got, s.AtLeast)
	}
	if of, err := SnapshotMembers(path); err != nil || len(of) != len(members) || len(of[0].PeerURLs) == 0 || of[0].Name == "" {
		t.Errorf("it is of %+v, %v", of, err)
	}
	restore(t, binary, path)

	// What is removed and compacted shows in no key, but in the revision.
	removed, err := kv.Delete(t.Context(), "/k/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Compact(t.Context(), removed.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	path, s = take(t, client)
	if got, err := CheckSnapshot(t.Context(), path); err != nil || got.Revision != removed.Header.Revision || got.Revision < s.AtLeast {
		t.Errorf("after a compaction: %+v, %v, want revision %d", got, err, removed.Header.Revision)
	}

	members[1].stop()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if _, err := client.Snapshot(ctx); err == nil || !strings.Contains(err.Error(), urls[0]) || !strings.Contains(err.Error(), urls[2]) {
		t.Errorf("without a quorum: %v", err)
	}
}

// take takes a snapshot into a file; an election may be going on.
func take(t *testing.T, client *Client) (string, *Snapshot) {
	t.Helper()
	var s *Snapshot
	for deadline := time.Now().Add(30 * time.Second); ; {
		var err error
		if s, err = client.Snapshot(t.Context()); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "snapshot.db")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.CopyTo(t.Context(), f)
	if err := errors.Join(err, f.Close()); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	return path, s
}

// restore has etcd's own program, when it lies beside etcd, restore a snapshot.
func restore(t *testing.T, etcd, path string) {
	t.Helper()
	program := filepath.Join(filepath.Dir(etcd), "etcdutl")
	if _, err := os.Stat(program); err != nil {
		t.Logf("no restore: %v", err)
		return
	}
	dir := filepath.Join(t.TempDir(), "restored")
	out, err := exec.Command(program, "snapshot", "restore", path, "--data-dir", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("etcdutl: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "member", "snap", "db")); err != nil {
		t.Error(err)
	}
}

// TestSnapshotBrokenOff: when writing fails, or nobody answers, that is an error.
func TestSnapshotBrokenOff(t *testing.T) {
	binary := realBinary(t)
	ca := newAuthority(t)
	member := startReal(t, binary, ca, 1)[0]
	cert, key := ca.issue(t, "client")
	client, err := Connect(t.Context(), []string{member.url}, TLS{CA: ca.pem, Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // its member is gone by then
	if _, err := client.WaitHealthy(t.Context(), time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	s, err := client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	if _, err := s.CopyTo(t.Context(), failing{full}); !errors.Is(err, full) || !strings.Contains(err.Error(), "broken off after") {
		t.Errorf("a full disk: %v", err)
	}
	if s, err = client.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	member.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var out bytes.Buffer
	if _, err := s.CopyTo(ctx, &out); err == nil {
		t.Errorf("a member that is gone gave a snapshot of %d bytes", out.Len())
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// database makes a file as etcd sends it, with the given buckets.
func database(t *testing.T, buckets map[string]map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for name, content := range buckets {
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			for k, v := range content {
				if err := b.Put([]byte(k), []byte(v)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	change(t, path, func(b []byte) []byte { return appendSum(b) })
	return path
}

func appendSum(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func change(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// revision is how etcd writes one.
func revision(n byte) string {
	return "\x00\x00\x00\x00\x00\x00\x00" + string(rune(n)) + "_\x00\x00\x00\x00\x00\x00\x00\x00"
}

func TestCheckSnapshot(t *testing.T) {
	good := map[string]map[string]string{"key": {revision(3): "a", revision(7) + "t": "b"}, "meta": {"finishedCompactRev": revision(9)}}
	tests := []struct {
		name    string
		buckets map[string]map[string]string
		damage  func([]byte) []byte
		want    string // empty: it is whole
	}{
		{name: "whole", buckets: good},
		{name: "nothing", buckets: good, damage: func([]byte) []byte { return nil }, want: "cut off"},
		{name: "a checksum alone", buckets: good, damage: func(b []byte) []byte { return b[len(b)-32:] }, want: "cut off"},
		{name: "without its checksum", buckets: good, damage: func(b []byte) []byte { return b[:len(b)-32] }, want: "cut off"},
		{name: "cut within", buckets: good, damage: func(b []byte) []byte { return b[:4096+32] }, want: "SHA-256"},
		{name: "one bit", buckets: good, damage: func(b []byte) []byte { b[5000] ^= 1; return b }, want: "SHA-256"},
		{name: "one bit of the checksum", buckets: good, damage: func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, want: "SHA-256"},
		{name: "no database", buckets: good, damage: func([]byte) []byte { return appendSum(make([]byte, 32<<10)) }, want: "can't be opened"},
		{name: "no bucket of etcd's", buckets: map[string]map[string]string{"meta": {}}, want: "not etcd's"},
		{name: "no meta bucket", buckets: map[string]map[string]string{"key": {}}, want: "not etcd's"},
		{name: "keys that are no revisions", buckets: map[string]map[string]string{"key": {"a": "b"}, "meta": {}}, want: "not a revision"},
		{name: "a compaction that is no revision", buckets: map[string]map[string]string{"key": {}, "meta": {"finishedCompactRev": "x"}}, want: "not a revision"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := database(t, tt.buckets)
			if tt.damage != nil {
				change(t, path, tt.damage)
			}
			got, err := CheckSnapshot(t.Context(), path)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) || got != (SnapshotStatus{}) {
					t.Errorf("got %+v, %v, want %q", got, err, tt.want)
				}
				return
			}
			if err != nil || got.Revision != 9 || got.Entries != 2 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	if _, err := CheckSnapshot(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestSnapshotOfNobody: an address at which nobody listens is named.
func TestSnapshotOfNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	cert, key := ca.issue(t, "client")
	client, err := Connect(t.Context(), []string{url}, TLS{CA: ca.pem, Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // it never connected
	if _, err := client.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), url) {
		t.Errorf("got %v", err)
	}
}
