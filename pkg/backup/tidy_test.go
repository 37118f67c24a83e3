package backup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
)

// TestTidy: what a failed backup has left goes once it is old, and nothing else: no backup that is one,
// none that is being sent or that was paused for days, none that can't be read, nothing of another cluster or that is not ours.
func TestTidy(t *testing.T) {
	dir, s := newFolder(t)
	old := time.Now().Add(-TidyAfter - time.Hour)
	write := func(name string, at time.Time) {
		t.Helper()
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("x"), 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	id := newIdentity(t)
	made(t, s, "whole", id.Recipient(), random(t, 100))
	for _, name := range []string{
		identity + "/scheduled-1/cp1.host.tar.gz.age", identity + "/scheduled-1/etcd-snapshot.db.age", identity + "/by-hand/cp1.host.tar.gz.age",
		identity + "/under-way/cp1.host.tar.gz.age", identity + "/paused/cp1.host.tar.gz.age", identity + "/garbled/manifest.json", identity + "/garbled/cp1.host.tar.gz.age",
		identity + "/Not Ours/x", identity + "/readme", identity + "0/scheduled-1/cp1.host.tar.gz.age",
	} {
		write(name, old)
	}
	write(identity+"/under-way/etcd-snapshot.db.age", time.Now())
	removed, err := Tidy(t.Context(), s, identity, []string{"paused"})
	if err != nil || strings.Join(removed, " ") != "by-hand scheduled-1" {
		t.Errorf("removed %v, %v", removed, err)
	}
	objects, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, o := range objects {
		left = append(left, strings.ReplaceAll(o.Name, identity, "ID"))
	}
	want := "ID/Not Ours/x ID/garbled/cp1.host.tar.gz.age ID/garbled/manifest.json ID/paused/cp1.host.tar.gz.age ID/readme ID/under-way/cp1.host.tar.gz.age ID/under-way/etcd-snapshot.db.age ID/whole/etcd-snapshot.db.age ID/whole/manifest.json ID0/scheduled-1/cp1.host.tar.gz.age"
	if strings.Join(left, " ") != want {
		t.Errorf("left:\n%s\nwant:\n%s", strings.Join(left, " "), want)
	}
	for _, bad := range []string{"", "..", "a/b"} {
		if _, err := Tidy(t.Context(), s, bad, nil); err == nil {
			t.Errorf("%q passes for an identity", bad)
		}
	}
}

// TestTidyGoesByTheTargetsClock: to a machine whose clock is days ahead everything at the target is
// old, and what is being sent stays all the same.
func TestTidyGoesByTheTargetsClock(t *testing.T) {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	objects := []store.Object{{Name: "id/b/x", Modified: at}, {Name: "id/a/x", Modified: at.Add(-2 * TidyAfter)}}
	for name, tc := range map[string]struct {
		objects []store.Object
		now     time.Time
		want    []string
	}{
		"as it is":      {objects, at.Add(time.Minute), []string{"a"}},
		"a week ahead":  {objects, at.AddDate(0, 0, 7), []string{"a"}},
		"a week behind": {objects, at.AddDate(0, 0, -7), nil},
		"nothing there": {nil, at, nil},
	} {
		got := abandoned(tc.objects, lastWritten(tc.objects, tc.now).Add(-TidyAfter))
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestTidyWithoutTheRight: credentials that may not delete leave all as it is, and it is said.
func TestTidyWithoutTheRight(t *testing.T) {
	dir, s := newFolder(t)
	file := filepath.Join(dir, identity, "scheduled-1", "x.age")
	old := time.Now().Add(-2 * TidyAfter)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, nil, 0o600), os.Chtimes(file, old, old)); err != nil {
		t.Fatal(err)
	}
	made(t, s, "whole", newIdentity(t).Recipient(), nil)
	removed, err := Tidy(t.Context(), mayNot{s}, identity, nil)
	if !errors.Is(err, fs.ErrPermission) || len(removed) > 0 {
		t.Errorf("%v, %v", removed, err)
	}
}

// mayNot is a store that deletes nothing.
type mayNot struct{ store.Store }

func (mayNot) Delete(context.Context, string) error { return fs.ErrPermission }
