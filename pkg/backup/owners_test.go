package backup

import (
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// TestOwners: whoever shares a target is told apart, and of what nothing can be read is there as well.
func TestOwners(t *testing.T) {
	_, s := newFolder(t)
	id := newIdentity(t)
	part, err := Send(t.Context(), s, Folder("fedcba9876543210", "old"), Part{Kind: KindSnapshot, Object: "etcd-snapshot.db.age"}, []age.Recipient{id.Recipient()}, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Finish(t.Context(), s, Manifest{Name: "old", Cluster: "prod", Identity: "fedcba9876543210", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Parts: []Part{part}}); err != nil {
		t.Fatal(err)
	}
	made(t, s, "b", id.Recipient(), nil)
	if err := s.Put(t.Context(), "half/b/x.age", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	all, err := Owners(t.Context(), s)
	if err != nil || len(all) != 3 || all[0].Identity != identity || all[0].Name != "c" || all[0].Backups != 1 || all[1].Name != "prod" || all[2].Backups != 0 {
		t.Fatalf("%+v %v", all, err)
	}
	for text, want := range map[string]string{
		"prod": "fedcba9876543210", "fedcba98": "fedcba9876543210", identity: identity, "fedcba9": "no cluster", "": "no cluster", "x": "last backup 2026-01-02T03:04:05Z", "half": "no cluster",
	} {
		got, err := Owned(all, text)
		if err != nil {
			got.Identity = err.Error()
		}
		if !strings.Contains(got.Identity, want) {
			t.Errorf("%q is %q, want %q", text, got.Identity, want)
		}
	}
	// A cluster that was made anew has the name of the one that is lost.
	all[0].Name = "prod"
	if _, err := Owned(all, "prod"); err == nil || !strings.Contains(err.Error(), "several clusters") || !strings.Contains(err.Error(), identity) || !strings.Contains(err.Error(), "fedcba9876543210") {
		t.Errorf("%v", err)
	}
	if _, err := Owned(nil, "x"); err == nil || !strings.Contains(err.Error(), "there are: none") {
		t.Errorf("%v", err)
	}
}
