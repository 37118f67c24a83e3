package kubeconfig

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

func TestWriteFileThroughALink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(real, []byte("old"), 0o600), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(real); err != nil || string(data) != "new" {
		t.Errorf("%q %v", data, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v %v", info, err)
	}
}

func lab() *clientcmdapi.Config {
	return build(options(), []byte("ca"), &clientcmdapi.AuthInfo{Token: "tok"})
}

func TestEncodeRefusesAFileWithoutCredentials(t *testing.T) {
	for name, login := range map[string]*clientcmdapi.AuthInfo{
		"nothing":              {},
		"a certificate alone":  {ClientCertificateData: []byte("c")},
		"a key alone":          {ClientKeyData: []byte("k")},
		"somebody else's name": {Impersonate: "root"},
	} {
		if got, err := Encode(build(options(), nil, login)); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got, err := Encode(clientcmdapi.NewConfig()); err == nil {
		t.Errorf("no user at all: %s", got)
	}
	if _, err := Encode(lab()); err != nil {
		t.Error(err)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lab.kubeconfig")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "new" {
		t.Errorf("%q, %v", data, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := WriteFile(filepath.Join(dir, "nowhere", "f"), nil); err == nil {
		t.Error("a missing directory is no error")
	}
	if err := WriteFile(dir, nil); err == nil {
		t.Error("a directory was replaced")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v are there, %v", left, err)
	}
}

// paths is what kubectl goes by when KUBECONFIG names these files.
func paths(t *testing.T, files ...string) *clientcmd.PathOptions {
	t.Helper()
	t.Setenv(clientcmd.RecommendedConfigPathEnvVar, strings.Join(files, string(filepath.ListSeparator)))
	return clientcmd.NewDefaultPathOptions()
}

func write(t *testing.T, path string, c *clientcmdapi.Config) {
	t.Helper()
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		t.Fatal(err)
	}
}

func TestMergeKeepsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	other := build(Options{Cluster: "other", Server: "https://other", User: "bob"}, []byte("x"), &clientcmdapi.AuthInfo{Token: "b"})
	write(t, path, other)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	done, err := Merge(paths(t, path), lab(), now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.CurrentContext != "lab" || got.AuthInfos["other-bob"].Token != "b" || got.AuthInfos["lab-alice"].Token != "tok" ||
		got.Contexts["other"].Cluster != "other" || got.Clusters["lab"].Server != "https://192.0.2.10:6443" {
		t.Errorf("got %+v", got)
	}
	if len(done.Backups) != 1 || done.Backups[0] != path+".bak-20260102T030405" || done.File != path {
		t.Fatalf("%+v", done)
	}
	copied, err := os.ReadFile(done.Backups[0])
	if err != nil || string(copied) != string(before) {
		t.Errorf("the copy is not what was there: %v\n%s", err, copied)
	}
	for _, private := range []string{path, done.Backups[0]} {
		if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", private, info.Mode(), err)
		}
	}
}

func TestMergeIntoNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "config")
	done, err := Merge(paths(t, path), lab(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if len(done.Backups) != 0 {
		t.Errorf("copies of nothing: %v", done.Backups)
	}
}

func TestMergeIntoSeveralFilesChangesTheOneThatHasTheEntry(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	write(t, first, clientcmdapi.NewConfig())
	old := lab()
	old.AuthInfos["lab-alice"].Token = "old"
	write(t, second, old)
	done, err := Merge(paths(t, first, second), lab(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	got, err := clientcmd.LoadFromFile(second)
	if err != nil || got.AuthInfos["lab-alice"].Token != "tok" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, copied := range done.Backups {
		if _, err := os.Stat(copied); err != nil {
			t.Error(err)
		}
	}
}

func TestMergeDoesNotTakeAnothersName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, build(Options{Cluster: "lab", Server: "https://other", User: "bob"}, []byte("x"), &clientcmdapi.AuthInfo{Token: "b"}))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Merge(paths(t, path), lab(), time.Now()); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("changed: %v\n%s", err, after)
	}
}

// TestMergeKnowsAClusterWhoseCAIsReplaced: its entry may have another address by now, such as
// the load balancer's, and trusts the former CA, the new one, or both.
func TestMergeKnowsAClusterWhoseCAIsReplaced(t *testing.T) {
	var cas [3][]byte
	for i := range cas {
		ca, err := pki.NewCA("kubernetes", 0)
		if err != nil {
			t.Fatal(err)
		}
		cas[i] = ca.CertPEM
	}
	former, next, foreign := cas[0], cas[1], cas[2]
	for name, tc := range map[string]struct {
		mine, now []byte
		taken     bool
	}{
		"begun":            {former, slices.Concat(former, next), false},
		"completed":        {slices.Concat(former, next), next, false},
		"another cluster":  {foreign, slices.Concat(former, next), true},
		"a whole rotation": {former, next, true},
	} {
		path := filepath.Join(t.TempDir(), "config")
		write(t, path, build(Options{Cluster: "lab", Server: "https://10.0.0.1:6443", User: "alice"}, tc.mine, &clientcmdapi.AuthInfo{Token: "a"}))
		_, err := Merge(paths(t, path), build(Options{Cluster: "lab", Server: "https://10.0.0.1:8443", User: "alice"}, tc.now, &clientcmdapi.AuthInfo{Token: "b"}), time.Now())
		if errors.Is(err, ErrTaken) != tc.taken || !tc.taken && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMergeDoesNotTakeAnothersContext: a context or a user of another cluster may have any name.
func TestMergeDoesNotTakeAnothersContext(t *testing.T) {
	for name, rename := range map[string]func(*clientcmdapi.Config){
		"context": func(c *clientcmdapi.Config) { c.Contexts["lab"] = c.Contexts["kind"]; delete(c.Contexts, "kind") },
		"user": func(c *clientcmdapi.Config) {
			c.AuthInfos["lab-alice"] = c.AuthInfos["kind-bob"]
			c.Contexts["kind"].AuthInfo = "lab-alice"
		},
	} {
		path := filepath.Join(t.TempDir(), "config")
		c := build(Options{Cluster: "kind", Server: "https://other", User: "bob"}, []byte("x"), &clientcmdapi.AuthInfo{Token: "b"})
		rename(c)
		write(t, path, c)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Merge(paths(t, path), lab(), time.Now()); !errors.Is(err, ErrTaken) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s changed: %v\n%s", name, err, after)
		}
	}
}

// TestMergeWaitsForTheLock: what another program adds while it has the file locked stays;
// a lock that nobody takes away is named, after ten seconds.
func TestMergeWaitsForTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, clientcmdapi.NewConfig())
	lock := path + ".lock"
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	own := paths(t, path)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := Merge(own, lab(), began)
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "remove "+lock) || took < lockTimeout || took > lockTimeout+2*lockInterval {
			t.Errorf("after %s: %v", took, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		done := make(chan error, 1)
		go func() {
			_, err := Merge(own, lab(), time.Now())
			done <- err
		}()
		synctest.Wait() // It has seen the lock, and waits.
		write(t, path, build(Options{Cluster: "other", Server: "https://other", User: "bob"}, []byte("x"), &clientcmdapi.AuthInfo{Token: "b"}))
		if err := os.Remove(lock); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
	got, err := clientcmd.LoadFromFile(path)
	if err != nil || got.Clusters["other"] == nil || got.Contexts["other"] == nil || got.AuthInfos["other-bob"] == nil || got.AuthInfos["lab-alice"] == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestMergeLeavesOtherFilesAlone: a file of $KUBECONFIG in which nothing changes keeps its mode.
func TestMergeLeavesOtherFilesAlone(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	write(t, first, clientcmdapi.NewConfig())
	write(t, second, build(Options{Cluster: "other", Server: "https://other", User: "bob"}, []byte("x"), &clientcmdapi.AuthInfo{Token: "b"}))
	if err := os.Chmod(second, 0o640); err != nil {
		t.Fatal(err)
	}
	done, err := Merge(paths(t, first, second), lab(), time.Now())
	if err != nil || len(done.Backups) != 1 || !strings.HasPrefix(done.Backups[0], first) {
		t.Fatalf("%+v %v", done, err)
	}
	if info, err := os.Stat(second); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
}

func TestMergeReplacesARebuiltCluster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, build(options(), []byte("the CA before"), &clientcmdapi.AuthInfo{Token: "old"}))
	if _, err := Merge(paths(t, path), lab(), time.Now()); err != nil {
		t.Error(err)
	}
}
