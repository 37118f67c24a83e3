package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

func random(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t *testing.T, c Config) Store {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
	return s
}

func TestCheck(t *testing.T) {
	for text, ok := range map[string]bool{
		"s3://b/p": true, "s3://b": true, "s3:///p": false, "sftp://u@h/f": true, "sftp://u@h:2222/f/g": true, "sftp://h/f": false, "sftp://u@h": false, "sftp://u:p@h/f": false,
		"file:///f": true, "file:///": false, "file://h/f": false, "file:///f/../g": false, "http://x/y": false, "": false, "s3://b/p?x=y": false, "s3://%zz": false,
	} {
		err := Check(text)
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), ":p@") {
			t.Errorf("%q: the error has the password: %v", text, err)
		}
	}
}

// behaves is what every store does.
func behaves(t *testing.T, s Store) {
	t.Helper()
	ctx := t.Context()
	big := random(t, 20<<20+5) // Several parts of S3's.
	for name, content := range map[string][]byte{"id/b/one": []byte("1"), "id/b/big": big, "id/c/empty": {}, "other/d/x": []byte("x")} {
		if err := s.Put(ctx, name, bytes.NewReader(content)); err != nil {
			t.Fatalf("put %s: %v", name, err)
		}
	}
	if err := s.Put(ctx, "id/b/one", strings.NewReader("2")); err != nil {
		t.Errorf("in place of one: %v", err)
	}
	list, err := s.List(ctx, "id/")
	var names []string
	for _, o := range list {
		names = append(names, o.Name)
	}
	if err != nil || strings.Join(names, " ") != "id/b/big id/b/one id/c/empty" || list[0].Bytes != int64(len(big)) {
		t.Errorf("list: %v %v", list, err)
	}
	if o, err := s.Stat(ctx, "id/b/big"); err != nil || o.Bytes != int64(len(big)) {
		t.Errorf("stat: %+v %v", o, err)
	}
	in, err := s.Get(ctx, "id/b/big")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(in)
	if err := errors.Join(err, in.Close()); err != nil || !bytes.Equal(got, big) {
		t.Errorf("get: %v, %d bytes", err, len(got))
	}
	for what, ask := range map[string]func() error{
		"stat": func() error { _, err := s.Stat(ctx, "id/none"); return err },
		"get":  func() error { _, err := s.Get(ctx, "id/none"); return err },
	} {
		if err := ask(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of what is not there: %v", what, err)
		}
	}
	if err := s.Put(ctx, "../x", strings.NewReader("")); err == nil {
		t.Error("a name that leads out is taken")
	}
	gone := errors.New("the source is gone")
	if err := s.Put(ctx, "id/b/half", io.MultiReader(bytes.NewReader(big), failingReader{gone})); !errors.Is(err, gone) {
		t.Errorf("a source that breaks: %v", err)
	}
	if _, err := s.Stat(ctx, "id/b/half"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half of it is there: %v", err)
	}
	if err := s.Tidy(ctx, "id/", time.Now().Add(time.Hour)); err != nil {
		t.Errorf("tidy: %v", err)
	}
	for _, name := range []string{"id/b/one", "id/b/one", "id/b/big", "id/c/empty"} {
		if err := s.Delete(ctx, name); err != nil {
			t.Errorf("delete %s: %v", name, err)
		}
	}
	if left, err := s.List(ctx, ""); err != nil || len(left) != 1 || left[0].Name != "other/d/x" {
		t.Errorf("left: %v %v", left, err)
	}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	behaves(t, open(t, Config{URL: "file://" + dir}))
	// What is to be mounted there is missing.
	if err := open(t, Config{URL: "file://" + dir + "/none"}).Put(t.Context(), "a/b", strings.NewReader("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// TestFolderTidies: what a killed upload has left goes, once it is old.
func TestFolderTidies(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{URL: "file://" + dir})
	file := filepath.Join(dir, "id", "b", "x"+partial)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(t.Context(), "id/"); err != nil || len(list) > 0 {
		t.Errorf("it is listed: %v %v", list, err)
	}
	for _, since := range []time.Time{time.Now().Add(-time.Hour), time.Now().Add(time.Hour)} {
		if err := s.Tidy(t.Context(), "id/", since); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) != since.After(time.Now()) {
			t.Errorf("tidied since %v: %v", since, err)
		}
	}
}

// TestLimit: a target is sent no more than it may be.
func TestLimit(t *testing.T) {
	s := open(t, Config{URL: "file://" + t.TempDir(), BytesPerSecond: 1 << 20})
	began := time.Now()
	// The first second's worth goes at once.
	if err := s.Put(t.Context(), "a", bytes.NewReader(random(t, 3<<20/2))); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("1.5 MiB at 1 MiB/s took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, "b", bytes.NewReader(random(t, 8<<20))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestStalls: a server that takes nothing, or answers nothing, is given up.
func TestStalls(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			if _, err := l.Accept(); err != nil { // It says nothing, and reads nothing.
				return
			}
		}
	}()
	s3 := open(t, Config{URL: "s3://bucket", Endpoint: "http://" + l.Addr().String(), Region: "us-east-1", Stall: 200 * time.Millisecond, Credentials: map[string]string{KeyAccess: "a", KeySecret: "secret-of-mine"}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s3.Put(ctx, "x", bytes.NewReader(random(t, 20<<20))); err == nil || !strings.Contains(err.Error(), "nothing moved for 200ms") || strings.Contains(err.Error(), "secret-of-mine") {
		t.Errorf("%v", err)
	}
	if _, err := Open(ctx, Config{URL: "sftp://u@" + l.Addr().String() + "/f", Stall: 200 * time.Millisecond, Credentials: map[string]string{KeyPassword: "secret-of-mine", KeyKnownHosts: hostKeyLine(t)}}); err == nil || !strings.Contains(err.Error(), "nothing moved for 200ms") || strings.Contains(err.Error(), "secret-of-mine") {
		t.Errorf("%v", err)
	}
}

func hostKeyLine(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
		t.Skipf("ssh-keygen: %v %s", err, out)
	}
	raw, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return "h " + string(raw)
}

// TestSFTP runs against OpenSSH's own server.
func TestSFTP(t *testing.T) {
	c := sftpServerOf(t)
	behaves(t, open(t, c))
	c.Credentials[KeyKnownHosts] = hostKeyLine(t)
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "which is none that it is known by") {
		t.Errorf("another host key: %v", err)
	}
	c.Credentials[KeyKnownHosts] = ""
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no host key") {
		t.Errorf("no host key: %v", err)
	}
}

// sftpServerOf starts sshd with keys of its own.
func sftpServerOf(t *testing.T) Config {
	t.Helper()
	sshd, sftpServer := "/usr/sbin/sshd", "/usr/lib/openssh/sftp-server"
	for _, p := range []string{sshd, sftpServer} {
		if _, err := os.Stat(p); err != nil {
			t.Skipf("no OpenSSH: %v", err)
		}
	}
	dir, err := os.MkdirTemp("", "sftp") // sshd wants its keys' directory to be nobody else's.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", at(name)).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	read := func(name string) string {
		raw, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	config := "ListenAddress 127.0.0.1\nPort " + port + "\nHostKey " + at("host") + "\nAuthorizedKeysFile " + at("user.pub") + "\nStrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp " + sftpServer + "\n"
	if err := errors.Join(os.WriteFile(at("config"), []byte(config), 0o600), os.MkdirAll("/run/sshd", 0o755)); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(sshd, "-D", "-e", "-f", at("config"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	listens(t, address)
	user := "root"
	if u := os.Getenv("USER"); os.Geteuid() != 0 && u != "" {
		user = u
	}
	return Config{URL: "sftp://" + user + "@" + address + at("backups"), Credentials: map[string]string{KeyPrivate: read("user"), KeyKnownHosts: "h " + read("host.pub")}}
}

func listens(t *testing.T, address string) {
	t.Helper()
	if !poll.Until(30*time.Second, func() bool {
		c, err := net.Dial("tcp", address)
		return err == nil && c.Close() == nil
	}) {
		t.Fatalf("nobody listens on %s", address)
	}
}
