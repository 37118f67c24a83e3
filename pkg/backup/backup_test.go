package backup

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
)

func newIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newFolder(t *testing.T) (string, store.Store) {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Config{URL: "file://" + dir})
	if err != nil {
		t.Fatal(err)
	}
	return dir, s
}

const identity = "0123456789abcdef"

// made is a whole backup with one part of the content.
func made(t *testing.T, s store.Store, name string, to age.Recipient, content []byte) Manifest {
	t.Helper()
	part, err := Send(t.Context(), s, Folder(identity, name), Part{Kind: KindSnapshot, Host: "cp1", Object: "etcd-snapshot.db.age"}, []age.Recipient{to}, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	m := Manifest{Name: name, Cluster: "c", Identity: identity, Created: time.Date(2026, 11, 29, 20, 0, 0, 0, time.UTC), Revision: 7, Parts: []Part{part}}
	if err := Finish(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func random(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestThereAndBack(t *testing.T) {
	_, s := newFolder(t)
	id, content := newIdentity(t), random(t, 3<<20+17)
	made(t, s, "b", id.Recipient(), content)
	list, err := List(t.Context(), s, identity)
	if err != nil || len(list.Backups) != 1 || len(list.Broken) != 0 {
		t.Fatalf("%+v %v", list, err)
	}
	part, err := list.Backups[0].Snapshot()
	if err != nil || part.Bytes != int64(len(content)) || part.SealedBytes <= part.Bytes {
		t.Fatalf("%+v %v", part, err)
	}
	folder := Folder(identity, "b")
	key, err := unlock(t, s, folder, part, id)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := errors.Join(Fetch(t.Context(), s, folder, part, key, &got), Compare(t.Context(), s, folder, part)); err != nil || !bytes.Equal(got.Bytes(), content) {
		t.Errorf("%v, %d bytes", err, got.Len())
	}
	if _, err := unlock(t, s, folder, part, newIdentity(t)); err == nil || !strings.Contains(err.Error(), "none of the identities fits") {
		t.Errorf("with the wrong key: %v", err)
	}
	if err := Fetch(t.Context(), s, folder, part, random(t, 16), io.Discard); err == nil {
		t.Error("with a file key of another object it was read")
	}
	if err := Delete(t.Context(), s, identity, "b"); err != nil {
		t.Fatal(err)
	}
	if left, err := s.List(t.Context(), ""); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// TestDamaged: nothing that was changed at the target passes for a backup.
func TestDamaged(t *testing.T) {
	object := func(dir string) string { return filepath.Join(dir, identity, "b", "etcd-snapshot.db.age") }
	manifest := func(dir string) string { return filepath.Join(dir, identity, "b", manifestName) }
	change := func(t *testing.T, file string, by func([]byte) []byte) {
		t.Helper()
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, by(raw), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		spoil  func(t *testing.T, dir string)
		listed bool
	}{
		"no manifest":     {func(t *testing.T, dir string) { mustRemove(t, manifest(dir)) }, false},
		"no object":       {func(t *testing.T, dir string) { mustRemove(t, object(dir)) }, false},
		"cut":             {func(t *testing.T, dir string) { change(t, object(dir), func(b []byte) []byte { return b[:len(b)-1] }) }, false},
		"a garbled index": {func(t *testing.T, dir string) { change(t, manifest(dir), func([]byte) []byte { return []byte("{") }) }, false},
		"another's": {func(t *testing.T, dir string) {
			change(t, manifest(dir), func(b []byte) []byte { return bytes.Replace(b, []byte(`"b"`), []byte(`"c"`), 1) })
		}, false},
		"a way out": {func(t *testing.T, dir string) {
			change(t, manifest(dir), func(b []byte) []byte { return bytes.Replace(b, []byte("etcd-snapshot.db.age"), []byte("../../x"), 1) })
		}, false},
		"of a newer form": {func(t *testing.T, dir string) {
			change(t, manifest(dir), func(b []byte) []byte { return bytes.Replace(b, []byte(`"version": 1`), []byte(`"version": 9`), 1) })
		}, false},
		"one byte in it":    {func(t *testing.T, dir string) { change(t, object(dir), flipped(-5)) }, true},
		"one byte in front": {func(t *testing.T, dir string) { change(t, object(dir), flipped(30)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, s := newFolder(t)
			id := newIdentity(t)
			m := made(t, s, "b", id.Recipient(), random(t, 1000))
			tc.spoil(t, dir)
			list, err := List(t.Context(), s, identity)
			if err != nil || (len(list.Backups) == 1) != tc.listed || (list.Broken["b"] == "") != tc.listed {
				t.Fatalf("%+v %v", list, err)
			}
			if !tc.listed {
				return
			}
			folder, part := Folder(identity, "b"), m.Parts[0]
			if err := Compare(t.Context(), s, folder, part); err == nil {
				t.Error("its digest is taken for right")
			}
			key, err := unlock(t, s, folder, part, id)
			if err == nil {
				err = Fetch(t.Context(), s, folder, part, key, io.Discard)
			}
			if err == nil {
				t.Error("it is read without an error")
			}
		})
	}
}

func flipped(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 1
		return b
	}
}

func mustRemove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

// TestUnfinished: a source that breaks leaves neither an object nor a backup, and a manifest is
// written only over parts that are there.
func TestUnfinished(t *testing.T) {
	_, s := newFolder(t)
	id := newIdentity(t)
	broken := errors.New("the disk is gone")
	in := io.MultiReader(bytes.NewReader(random(t, 5<<20)), errorReader{broken})
	part, err := Send(t.Context(), s, Folder(identity, "b"), Part{Kind: KindSnapshot, Object: "etcd-snapshot.db.age"}, []age.Recipient{id.Recipient()}, in)
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if left, err := s.List(t.Context(), ""); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	part.SHA256, part.SealedSHA256, part.SealedBytes = strings.Repeat("0", 64), strings.Repeat("0", 64), 5
	if err := Finish(t.Context(), s, Manifest{Name: "b", Identity: identity, Created: time.Now(), Parts: []Part{part}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a manifest over nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Send(ctx, s, Folder(identity, "b"), part, []age.Recipient{id.Recipient()}, bytes.NewReader(random(t, 5<<20))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.err }

func TestRecipients(t *testing.T) {
	for text, ok := range map[string]bool{"": false, "age1x": false, newIdentity(t).Recipient().String(): true, "AGE-SECRET-KEY-1": false} {
		var in []string
		if text != "" {
			in = []string{text}
		}
		if got, err := Recipients(in); (err == nil) != ok || (len(got) > 0) != ok {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
}

func unlock(t *testing.T, s store.Store, folder string, p Part, id age.Identity) (FileKey, error) {
	t.Helper()
	head, err := Head(t.Context(), s, folder, p)
	if err != nil {
		return nil, err
	}
	return Unlock(head, id)
}

// TestHostileManifest: what a manifest names leads nowhere else, on no system, and no part hides another.
func TestHostileManifest(t *testing.T) {
	sum := strings.Repeat("0", 64)
	part := func(name string) Part {
		return Part{Kind: KindHost, Object: name, SHA256: sum, SealedSHA256: sum, SealedBytes: 1}
	}
	good := Manifest{Version: version, Name: "b", Identity: identity, Created: time.Now(), Parts: []Part{part("cp1.host.tar.gz.age"), part("etcd-snapshot.db.age")}}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".age", "x", "../x.age", "a/b.age", `..\..\x.age`, `C:\x.age`, "c:x.age", "a.age\n", "manifest.json"} {
		m := good
		m.Parts = []Part{part(name)}
		if m.check() == nil {
			t.Errorf("%q passes", name)
		}
	}
	good.Parts = append(good.Parts, good.Parts[0])
	if good.check() == nil {
		t.Error("a part that is there twice passes")
	}
}
