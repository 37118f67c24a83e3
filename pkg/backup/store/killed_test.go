package store

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/poll"
	"github.com/kubectl-ha/kubectl-ha/test/s3test"
)

// putBy names the configuration of a store, JSON, to which this test program writes what it reads.
const putBy = "TEST_PUT_BY"

func TestMain(m *testing.M) {
	text := os.Getenv(putBy)
	if text == "" {
		os.Exit(m.Run())
	}
	var c Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	s, err := Open(context.Background(), c)
	if err == nil {
		err = s.Put(context.Background(), "id/b/x", os.Stdin)
	}
	panic(err) // It is killed before.
}

// TestKilled: a program that is killed while it writes leaves no object, wherever it writes to, and
// what it leaves goes. One that writes the same object besides is in nobody's way.
func TestKilled(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) (c Config, half func(Store) bool){
		"folder": func(t *testing.T) (Config, func(Store) bool) {
			dir := t.TempDir()
			return Config{URL: "file://" + dir}, func(Store) bool { return halves(t, dir) > 0 }
		},
		"SFTP": func(t *testing.T) (Config, func(Store) bool) {
			c := sftpServerOf(t)
			_, dir, _ := strings.Cut(strings.TrimPrefix(c.URL, "sftp://"), "/")
			return c, func(Store) bool { return halves(t, "/"+dir) > 0 }
		},
		"S3": func(t *testing.T) (Config, func(Store) bool) {
			return s3Config(s3test.Start(t).Endpoint), func(s Store) bool { return len(uploads(t, s)) > 0 }
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, half := start(t)
			s := open(t, c)
			killWriter(t, c, func() bool { return half(s) })
			if list, err := s.List(t.Context(), ""); err != nil || len(list) > 0 {
				t.Errorf("it has %v, %v", list, err)
			}
			if _, err := s.Stat(t.Context(), "id/b/x"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("half of it is there: %v", err)
			}
			if err := s.Put(t.Context(), "id/b/x", strings.NewReader("whole")); err != nil || !half(s) {
				t.Errorf("beside what was left: %v", err)
			}
			if err := s.Tidy(t.Context(), "id/", time.Now().Add(time.Hour)); err != nil || half(s) {
				t.Errorf("what was left is still there: %v", err)
			}
			if o, err := s.Stat(t.Context(), "id/b/x"); err != nil || o.Bytes != 5 {
				t.Errorf("%+v %v", o, err)
			}
		})
	}
}

// killWriter kills a program that writes an object, once half of that is at the target.
func killWriter(t *testing.T, c Config, half func() bool) {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), putBy+"="+string(raw))
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	content := random(t, 20<<20)
	go func() { _, err := in.Write(content); wrote <- err }() // It is never closed: the object has no end.
	seen := poll.Until(time.Minute, half)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // It was killed.
	<-wrote
	if !seen {
		t.Fatal("nothing of it has come to the target")
	}
}

// halves counts what is being written below a directory.
func halves(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && strings.HasSuffix(d.Name(), partial) {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
