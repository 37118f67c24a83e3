package pki

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStoreMakesOnceAndKeeps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	first, created, err := open(t, dir).CA(t.Context(), "etcd", "etcd-ca")
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	second, created, err := open(t, dir).CA(t.Context(), "etcd", "etcd-ca")
	if err != nil || created || !bytes.Equal(first.KeyPEM, second.KeyPEM) || !bytes.Equal(first.CertPEM, second.CertPEM) {
		t.Fatalf("the second time: created %v, same %v, %v", created, bytes.Equal(first.KeyPEM, second.KeyPEM), err)
	}
	for path, mode := range map[string]os.FileMode{"": 0o700, "etcd": 0o700, "etcd/ca.key": 0o600, "etcd/ca.crt": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want %v", path, info.Mode().Perm(), err, mode)
		}
	}
	if _, found, err := open(t, dir).Load(t.Context(), "other"); found || err != nil {
		t.Errorf("found a CA that is not there: %v", err)
	}
}

// Whatever step fails, as after a crash there, the next run gets a whole CA; and
// it is never another one than a run returned before.
func TestStoreFailureAtEachStep(t *testing.T) {
	boom := errors.New("boom")
	for _, step := range []string{"mkdir", "write ca.key", "write ca.crt", "sync", "rename", "sync parent"} {
		t.Run(step, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "s")
			s := open(t, dir)
			reached := false
			s.before = func(at string) error {
				if at == step {
					reached = true
					return boom
				}
				return nil
			}
			if pair, _, err := s.CA(t.Context(), "etcd", "x"); !errors.Is(err, boom) || len(pair.KeyPEM) > 0 {
				t.Fatalf("got %v, want the failure and no pair", err)
			}
			if !reached {
				t.Fatal("the step does not exist")
			}
			_, found, err := open(t, dir).Load(t.Context(), "etcd")
			if err != nil || found != (step == "sync parent") {
				t.Fatalf("after the failure: found %v, %v", found, err)
			}
			pair, _, err := open(t, dir).CA(t.Context(), "etcd", "x")
			if err != nil || pair.Check() != nil {
				t.Fatalf("the next run: %v", err)
			}
			again, created, err := open(t, dir).CA(t.Context(), "etcd", "x")
			if err != nil || created || !bytes.Equal(again.KeyPEM, pair.KeyPEM) {
				t.Fatalf("the run after: created %v, %v", created, err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 2 {
				t.Errorf("left over: %v %v", entries, err)
			}
		})
	}
}

func TestStoreRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(dir string) error
		want   string
	}{
		{"key gone", func(d string) error { return os.Remove(d + "/etcd/ca.key") }, "has no ca.key: put it back from a backup"},
		{"certificate gone", func(d string) error { return os.Remove(d + "/etcd/ca.crt") }, "has no ca.crt"},
		{"both gone", func(d string) error { return errors.Join(os.Remove(d+"/etcd/ca.crt"), os.Remove(d+"/etcd/ca.key")) }, "has no ca.crt"},
		{"key readable", func(d string) error { return os.Chmod(d+"/etcd/ca.key", 0o644) }, "may be read by others (mode 0644)"},
		{"directory readable", func(d string) error { return os.Chmod(d+"/etcd", 0o755) }, "chmod 700"},
		{"store readable", func(d string) error { return os.Chmod(d, 0o750) }, "may be read by others"},
		{"key truncated", func(d string) error { return os.Truncate(d+"/etcd/ca.key", 30) }, "is damaged"},
		{"key of another", func(d string) error {
			other, err := NewCA("other", 0)
			return errors.Join(err, os.WriteFile(d+"/etcd/ca.key", other.KeyPEM, 0o600))
		}, "does not belong"},
		{"key is a link", func(d string) error {
			return errors.Join(os.Rename(d+"/etcd/ca.key", d+"/k"), os.Symlink(d+"/k", d+"/etcd/ca.key"))
		}, "is not what is expected"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "s")
			if _, _, err := open(t, dir).CA(t.Context(), "etcd", "x"); err != nil {
				t.Fatal(err)
			}
			if err := tc.damage(dir); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadDir(filepath.Join(dir, "etcd"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := OpenStore(dir)
			if err == nil {
				_, _, err = s.CA(t.Context(), "etcd", "x")
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			after, err := os.ReadDir(filepath.Join(dir, "etcd"))
			if err != nil || len(before) != len(after) {
				t.Errorf("the directory was changed: %v %v", after, err)
			}
		})
	}
}

func TestStoreNames(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s"))
	for _, name := range []string{"", ".", "..", "../x", "a/b", ".hidden"} {
		if _, _, err := s.CA(t.Context(), name, "x"); err == nil {
			t.Errorf("%q accepted", name)
		}
	}
}

func TestStoreConcurrent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	var wg sync.WaitGroup
	keys := make([]string, 8)
	for i := range keys {
		s := open(t, dir)
		wg.Go(func() {
			pair, _, err := s.CA(t.Context(), "etcd", "x")
			if err != nil {
				t.Error(err)
			}
			keys[i] = string(pair.KeyPEM)
		})
	}
	wg.Wait()
	for _, key := range keys {
		if key != keys[0] {
			t.Fatal("two callers got different CAs")
		}
	}
}

func TestStoreLockHeld(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s"))
	unlock, err := s.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := s.CA(ctx, "etcd", "x"); err == nil || !strings.Contains(err.Error(), "another kubectl ha holds") {
		t.Errorf("got %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if _, created, err := s.CA(t.Context(), "etcd", "x"); err != nil || !created {
		t.Errorf("after the lock was given back: %v", err)
	}
}
