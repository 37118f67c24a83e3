package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestKeyDependsOnEverything(t *testing.T) {
	keys := map[string]bool{}
	for _, k := range []string{
		Key("a", "v1", "x"), Key("a", "v2", "x"), Key("b", "v1", "x"), Key("a", "v1", "y"), Key("a", "v1", "x", "y"),
		Key("a", "v1", "xy"), Key("a", "v1"), Key("a", "", "v1", "x"),
	} {
		if keys[k] {
			t.Errorf("%s is there twice", k)
		}
		keys[k] = true
	}
	if one, other := Key("a", "v1", "x"), Key("a", "v1", "x"); one != other {
		t.Error("the same recipe has two keys")
	}
}

func TestMakeIsAllOrNothing(t *testing.T) {
	d := Dir(t.TempDir())
	broken := errors.New("broken")
	err := d.Make("k", func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o600); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) || d.Has("k") {
		t.Fatalf("a broken build: %v, there: %v", err, d.Has("k"))
	}
	err = d.Make("k", func(dir string) error {
		if _, err := os.Stat(filepath.Join(dir, "half")); err == nil {
			t.Error("what a broken build left is still there")
		}
		return os.WriteFile(filepath.Join(dir, "whole"), nil, 0o600)
	})
	if err != nil || !d.Has("k") {
		t.Fatal(err)
	}
	err = d.Make("k", func(string) error { return errors.New("made twice") })
	if err != nil {
		t.Error(err)
	}
}

func TestLock(t *testing.T) {
	d := Dir(t.TempDir())
	unlock, err := d.Lock(context.Background(), "x", func() { t.Error("waited for nobody") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	waited := false
	if _, err := d.Lock(ctx, "x", func() { waited = true }); err == nil || !waited {
		t.Errorf("a taken lock was given away (%v), waited: %v", err, waited)
	}
	unlock()
	again, err := d.Lock(context.Background(), "x", func() { t.Error("waited for a lock that was given back") })
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestRemoveAllOfReadOnlyTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sub", "f"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "sub"), 0o555); err != nil {
		t.Fatal(err)
	}
	if err := RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := RemoveAll(dir); err != nil {
		t.Errorf("a tree that is not there: %v", err)
	}
}
