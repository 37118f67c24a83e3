package kubeconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// mine is a kubeconfig as somebody keeps it, with fields that no client-go knows.
const mine = `# my clusters
apiVersion: v1
kind: Config
preferences: {}
later: {top: 1}
clusters:
- name: lab # the lab
  cluster:
    # by the jump host
    proxy-url: socks5://127.0.0.1:1080
    server: https://192.0.2.10:6443
    certificate-authority: ca.pem
    insecure-skip-tls-verify: true
    tls-server-name: api.example.com
    disable-compression: true
    extensions: [{name: tool, extension: {n: 1}}]
    of-later: [a, "yes"]
- name: other
  cluster: {server: "https://other", certificate-authority-data: eA==, of-later: b}
users:
- name: lab-alice
  user:
    tokenFile: /old
    username: old
    password: old
    as: root
    as-groups: [ops]
    exec: {command: other, apiVersion: client.authentication.k8s.io/v1}
    of-later: c
- name: other-bob
  user: {token: b, of-later: d}
contexts:
- name: lab
  context: {cluster: lab, user: lab-old, namespace: team, extensions: [{name: tool, extension: x}], of-later: e}
current-context: other
`

// merged is mine with the lab's new identity.
const merged = `# my clusters
apiVersion: v1
kind: Config
preferences: {}
later: {top: 1}
clusters:
- name: lab # the lab
  cluster:
    # by the jump host
    proxy-url: socks5://127.0.0.1:1080
    server: https://192.0.2.10:6443
    tls-server-name: api.example.com
    disable-compression: true
    extensions: [{name: tool, extension: {n: 1}}]
    of-later: [a, "yes"]
    certificate-authority-data: Y2E=
- name: other
  cluster: {server: "https://other", certificate-authority-data: eA==, of-later: b}
users:
- name: lab-alice
  user:
    as: root
    as-groups: [ops]
    of-later: c
    token: tok
- name: other-bob
  user: {token: b, of-later: d}
contexts:
- name: lab
  context:
    cluster: lab
    user: lab-alice
    namespace: team
    extensions: [{name: tool, extension: x}]
    of-later: e
current-context: lab
`

func TestMergeChangesNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := Merge(paths(t, path), lab(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != merged {
		t.Errorf("got\n%s", got)
	}
	want := "as, as-groups, of-later of the user lab-alice; proxy-url, tls-server-name, disable-compression, extensions, of-later of the cluster lab"
	if got := strings.Join(done.Kept, "; "); got != want {
		t.Errorf("kept %s", got)
	}
	if got, err := clientcmd.LoadFromFile(path); err != nil || got.Clusters["lab"].ProxyURL == "" || got.Contexts["lab"].Namespace != "team" {
		t.Errorf("%+v %v", got, err)
	}
	again, err := Merge(paths(t, path), lab(), time.Now())
	if err != nil || len(again.Backups) > 0 || read(t, path) != merged {
		t.Errorf("the second time: %+v %v\n%s", again, err, read(t, path))
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestMergeIntoAnyText: whatever kubectl reads as a kubeconfig has the new entries
// afterwards, and the old ones as kubectl read them before.
func TestMergeIntoAnyText(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":         "",
		"a comment":       "# mine\n",
		"null":            "---\nnull\n",
		"null lists":      "apiVersion: v1\nkind: Config\nclusters: null\nusers:\ncontexts: null\ncurrent-context: \"\"\n",
		"empty lists":     "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n",
		"JSON":            `{"kind":"Config","apiVersion":"v1","clusters":[{"name":"other","cluster":{"server":"https://other"}}],"users":[],"contexts":[]}`,
		"an empty body":   "apiVersion: v1\nkind: Config\nclusters:\n- name: lab\n  cluster:\nusers:\n- {name: lab-alice}\n",
		"a body of {}":    "apiVersion: v1\nkind: Config\nclusters: [{name: lab, cluster: {}}]\nusers: [{name: lab-alice, user: {}}]\n",
		"indented lists":  "apiVersion: v1\nkind: Config\nclusters:\n    - name: other\n      cluster:\n          server: https://other\n",
		"an alias":        "apiVersion: v1\nkind: Config\nclusters:\n- name: other\n  cluster: &x {server: \"https://192.0.2.10:6443\", proxy-url: \"http://p\"}\n- name: lab\n  cluster: *x\n",
		"a merge":         "apiVersion: v1\nkind: Config\nclusters:\n- name: other\n  cluster: &x {server: \"https://192.0.2.10:6443\", proxy-url: \"http://p\"}\n- name: lab\n  cluster:\n    tls-server-name: t\n    <<: *x\n",
		"Windows' lines":  "apiVersion: v1\r\nkind: Config\r\nclusters:\r\n- name: other\r\n  cluster: {server: 'https://other'}\r\n",
		"names as values": "apiVersion: v1\nkind: Config\nclusters:\n- name: \"123\"\n  cluster: {server: 'https://other'}\n- name: 'yes'\n  cluster: {server: 'https://yes'}\n",
		"without a kind":  "clusters:\n- name: other\n  cluster: {server: 'https://other'}\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			before, err := clientcmd.LoadFromFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Merge(paths(t, path), lab(), time.Now()); err != nil {
				t.Fatal(err)
			}
			after, err := clientcmd.LoadFromFile(path)
			if err != nil {
				t.Fatalf("%v\n%s", err, read(t, path))
			}
			c, l := after.Clusters["lab"], after.AuthInfos["lab-alice"]
			if c == nil || c.Server != "https://192.0.2.10:6443" || string(c.CertificateAuthorityData) != "ca" || l == nil || l.Token != "tok" ||
				after.Contexts["lab"] == nil || after.Contexts["lab"].AuthInfo != "lab-alice" || after.CurrentContext != "lab" {
				t.Errorf("not all is there:\n%s", read(t, path))
			}
			for name, old := range before.Clusters {
				now := after.Clusters[name]
				if now == nil || name != "lab" && now.Server != old.Server || now.ProxyURL != old.ProxyURL || now.TLSServerName != old.TLSServerName ||
					name != "lab" && len(now.CertificateAuthorityData) > 0 {
					t.Errorf("%s was %+v and is %+v", name, old, now)
				}
			}
		})
	}
}

func TestMergeRefusesWhatItWouldSpoil(t *testing.T) {
	for name, text := range map[string]string{
		"a list":        "- a\n",
		"two documents": "apiVersion: v1\nkind: Config\n---\napiVersion: v1\nkind: Config\n",
		"no YAML":       "apiVersion: v1\nkind: Config\nclusters: [\n",
	} {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if done, err := Merge(paths(t, path), lab(), time.Now()); err == nil || read(t, path) != text {
			t.Errorf("%s: %+v %v\n%s", name, done, err, read(t, path))
		}
		if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
			t.Errorf("%s: %v are left, %v", name, left, err)
		}
	}
}

// TestMergeKeepsWhatExecCredentialsAreGiven: the command is ours, its environment the user's.
func TestMergeKeepsWhatExecCredentialsAreGiven(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	first := WithExec(lab(), "/old", 0)
	first.AuthInfos["lab-alice"].Exec.Env = []clientcmdapi.ExecEnvVar{{Name: "A", Value: "b"}}
	write(t, path, first)
	if _, err := Merge(paths(t, path), WithExec(lab(), "/new", 0), time.Now()); err != nil {
		t.Fatal(err)
	}
	got, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	exec := got.AuthInfos["lab-alice"].Exec
	if exec == nil || len(exec.Env) != 1 || exec.Args[len(exec.Args)-1] != "/new" {
		t.Errorf("%+v", exec)
	}
	if _, err := Merge(paths(t, path), lab(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if got, err = clientcmd.LoadFromFile(path); err != nil || got.AuthInfos["lab-alice"].Exec != nil || got.AuthInfos["lab-alice"].Token != "tok" {
		t.Errorf("two ways to log in: %+v %v", got.AuthInfos["lab-alice"], err)
	}
}

// TestReplace: a file of its own keeps how the cluster is reached, and loses the identity before.
func TestReplace(t *testing.T) {
	old := strings.NewReplacer("lab-old", "lab-alice", "current-context: other", "current-context: lab").Replace(mine)
	for name, c := range map[string]struct {
		text, user string
		want, lost []string
	}{
		"none":                  {"", "alice", []string{"token: tok"}, []string{"proxy-url"}},
		"the same user":         {old, "alice", []string{"token: tok", "proxy-url", "tls-server-name", "namespace: team", "# my clusters"}, []string{"tokenFile"}},
		"another user":          {old, "eve", []string{"lab-eve", "proxy-url", "namespace: team"}, []string{"lab-alice", "tokenFile"}},
		"another cluster of it": {strings.NewReplacer("https://192.0.2.10", "https://192.0.2.99").Replace(old), "alice", []string{"token: tok"}, []string{"proxy-url"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lab.kubeconfig")
			if c.text != "" {
				if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			o := options()
			o.User = c.user
			config := build(o, []byte("ca"), &clientcmdapi.AuthInfo{Token: "tok"})
			content, err := Encode(config)
			if err != nil {
				t.Fatal(err)
			}
			if err := Replace(path, config, content); err != nil {
				t.Fatal(err)
			}
			got := read(t, path)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %s in\n%s", want, got)
				}
			}
			for _, lost := range c.lost {
				if strings.Contains(got, lost) {
					t.Errorf("%s is in\n%s", lost, got)
				}
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v %v", info, err)
			}
			if _, err := clientcmd.Load([]byte(got)); err != nil {
				t.Error(err)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte("- no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, lab(), nil); err == nil || read(t, path) != "- no\n" {
		t.Errorf("%v, %s", err, read(t, path))
	}
}

func TestSetServer(t *testing.T) {
	text := strings.Replace(mine, "current-context: other", "current-context: lab", 1)
	got, before, err := SetServer([]byte(text), "https://192.0.2.11:6443")
	want := strings.Replace(text, "https://192.0.2.10:6443", "https://192.0.2.11:6443", 1)
	if err != nil || before != "https://192.0.2.10:6443" || string(got) != want {
		t.Errorf("%s %v\n%s", before, err, got)
	}
	same, before, err := SetServer([]byte(text), "https://192.0.2.10:6443")
	if err != nil || before != "https://192.0.2.10:6443" || string(same) != text {
		t.Errorf("%s %v\n%s", before, err, same)
	}
	for name, text := range map[string]string{"no context": mine, "no kubeconfig": "- a\n", "no cluster": strings.Replace(text, "context: {cluster: lab", "context: {cluster: gone", 1)} {
		if got, _, err := SetServer([]byte(text), "https://x"); err == nil {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}
