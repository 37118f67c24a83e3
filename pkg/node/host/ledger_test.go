package host_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

func TestLedgerRefusesAnotherCluster(t *testing.T) {
	root := t.TempDir()
	l, err := host.OpenLedger(root, "red")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = host.OpenLedger(root, "blue")
	if err == nil || !strings.Contains(err.Error(), `"red"`) || !strings.Contains(err.Error(), `"blue"`) {
		t.Fatalf("the error must name both clusters: %v", err)
	}
	if host.Hint(err) == "" {
		t.Error("the error has no hint")
	}
	info, err := os.Stat(filepath.Join(root, host.StateDir))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state directory: %v %v", info, err)
	}
	info, err = os.Stat(filepath.Join(root, host.StateDir, "ledger.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("ledger: %v %v", info, err)
	}
}

// TestLedgerIdentity: clusters of one name are told apart. It is noted once, survives, and a
// request that does not know it changes nothing.
func TestLedgerIdentity(t *testing.T) {
	root := t.TempDir()
	for i, step := range []struct {
		identity, want string
		refused        bool
	}{{"", "", false}, {"a1", "a1", false}, {"", "a1", false}, {"b2", "a1", true}, {"a1", "a1", false}} {
		l, err := host.OpenLedger(root, "red")
		if err != nil {
			t.Fatal(err)
		}
		err = l.Identify(step.identity)
		if (err != nil) != step.refused || l.Identity() != step.want || err != nil && host.Hint(err) == "" {
			t.Errorf("step %d: %v, identity %q", i, err, l.Identity())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := host.ReadLedger(root)
	if err != nil || l.Identity() != "a1" || len(l.Entries()) != 1 || len(l.Made()) != 0 {
		t.Errorf("%v %+v", err, l.Entries())
	}
}

func TestLedgerContents(t *testing.T) {
	const head = `{"format":1,"cluster":"red","created":"2026-01-01T00:00:00Z"}` + "\n"
	const done = `{"time":"2026-01-01T00:00:00Z","action":"done","kind":"task","target":"prepare"}` + "\n"
	for _, c := range []struct {
		name, content, wantErr string
		wantDone               int
	}{
		{"new", "", "", 0},
		{"torn first line", head[:20], "", 0},
		{"whole", head + done, "", 1},
		{"torn last line", head + done + `{"time":"2026`, "", 1},
		{"broken line in the middle", head + "{\n" + done, "", 1},
		{"a torn line before a whole one", head + `{"time":"2026-01-01T00:00:00Z","action":"cre` + done, "", 1},
		{"no ledger", "hello\n", "no ledger", 0},
		{"later format", `{"format":9,"cluster":"red"}` + "\n", "later version", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			path := filepath.Join(root, host.StateDir, "ledger.jsonl")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := host.OpenLedger(root, "red")
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Fatalf("got %v, want an error with %q", err, c.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := len(l.DoneTasks()); got != c.wantDone {
				t.Errorf("%d tasks done, want %d", got, c.wantDone)
			}
			if err := errors.Join(l.Done("etcd"), l.Done("etcd"), l.Close()); err != nil {
				t.Fatal(err)
			}
			again, err := host.ReadLedger(root)
			if err != nil {
				t.Fatalf("what was written after it can't be read: %v", err)
			}
			if got := len(again.Entries()); got != c.wantDone+1 {
				t.Errorf("%d entries, want %d: a task is marked once", got, c.wantDone+1)
			}
			if again.Cluster() != "red" {
				t.Errorf("cluster %q", again.Cluster())
			}
		})
	}
}

func TestReadLedgerOfABareHost(t *testing.T) {
	root := t.TempDir()
	if _, err := host.ReadLedger(root); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want fs.ErrNotExist", err)
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 0 {
		t.Errorf("reading left something behind: %v %v", entries, err)
	}
}

func TestLockSaysWhoHoldsIt(t *testing.T) {
	root := t.TempDir()
	first, err := host.AcquireLock(context.Background(), root, "prepare", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_, err = host.AcquireLock(context.Background(), root, "etcd", 150*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "task prepare") || !strings.Contains(err.Error(), "pid") {
		t.Fatalf("the error must say who holds the lock: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := host.AcquireLock(ctx, root, "etcd", time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := host.AcquireLock(context.Background(), root, "etcd", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestLedgerKeepsSettings(t *testing.T) {
	root := t.TempDir()
	l, err := host.OpenLedger(root, "red")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.DoneWith("prepare", "a"), l.DoneWith("prepare", "a"), l.DoneWith("prepare", "b"), l.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := host.ReadLedger(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Entries()) != 2 || again.Settings()["prepare"] != "b" || len(again.DoneTasks()) != 1 {
		t.Errorf("%+v, %v, %v", again.Entries(), again.Settings(), again.DoneTasks())
	}
}

// Two tasks side by side write into one ledger.
func TestLedgerOfTwoWriters(t *testing.T) {
	root := t.TempDir()
	const each = 50
	var writers sync.WaitGroup
	for _, name := range []string{"one", "two"} {
		writers.Go(func() {
			for i := range each {
				l, err := host.OpenLedger(root, "red")
				if err == nil {
					err = errors.Join(l.Done(fmt.Sprint(name, i)), l.Close())
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	l, err := host.ReadLedger(root)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(l.DoneTasks()); n != 2*each {
		t.Errorf("%d tasks are done, want %d", n, 2*each)
	}
}
