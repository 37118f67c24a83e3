package bundle

import (
	"context"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containers/image/v5/types"
	"github.com/distribution/reference"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// helpers puts credential helpers on the PATH, in front. Each notes its arguments and what it
// reads in the file that comes back.
func helpers(t *testing.T, bodies map[string]string) (log string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the helpers of this test are shell scripts")
	}
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	for name, body := range bodies {
		script := "#!/bin/sh\nread server\necho \"" + name + " $* < $server\" >> '" + log + "'\n" + body + "\n"
		must(t, os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte(script), 0o755))
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return log
}

const (
	knows   = `echo '{"ServerURL": "x", "Username": "me", "Secret": "secret"}'`
	token   = `echo '{"ServerURL": "x", "Username": "<token>", "Secret": "tok"}'`
	forgets = "echo credentials not found in native keychain; exit 1"
	fails   = "echo the store is locked; exit 1"
	leaks   = `echo '{"Username": "me", "Secret": "secret"}'; exit 1`
)

func TestLogins(t *testing.T) {
	own := base64.StdEncoding.EncodeToString([]byte("me:secret"))
	me, other := types.DockerAuthConfig{Username: "me", Password: "secret"}, types.DockerAuthConfig{Username: "other", Password: "x"}
	none := types.DockerAuthConfig{}
	for name, c := range map[string]struct {
		file, ref string
		want      types.DockerAuthConfig
		// asked is what the helpers were asked for.
		asked, warning, err string
	}{
		"auth":                     {file: `{"auths": {"quay.io": {"auth": "` + own + `"}}}`, ref: "quay.io/a/b", want: me},
		"auth with zeros":          {file: `{"auths": {"quay.io": {"auth": "` + base64.StdEncoding.EncodeToString([]byte("me:secret\x00\x00")) + `"}}}`, ref: "quay.io/a", want: me},
		"two fields":               {file: `{"auths": {"quay.io": {"username": "me", "password": "secret"}}}`, ref: "quay.io/a/b", want: me},
		"auth before the fields":   {file: `{"auths": {"quay.io": {"auth": "` + own + `", "username": "other", "password": "x"}}}`, ref: "quay.io/a", want: me},
		"identity token":           {file: `{"auths": {"quay.io": {"auth": "` + own + `", "identitytoken": "tok"}}}`, ref: "quay.io/a", want: types.DockerAuthConfig{Username: "me", Password: "secret", IdentityToken: "tok"}},
		"a token alone":            {file: `{"auths": {"quay.io": {"identitytoken": "tok"}}}`, ref: "quay.io/a", want: types.DockerAuthConfig{IdentityToken: "tok"}},
		"another registry":         {file: `{"auths": {"quay.io": {"auth": "` + own + `"}}}`, ref: "ghcr.io/a/b", want: none},
		"a port is part of it":     {file: `{"auths": {"quay.io:5000": {"auth": "` + own + `"}}}`, ref: "quay.io/a/b", want: none},
		"a URL":                    {file: `{"auths": {"https://quay.io/v1/": {"auth": "` + own + `"}}}`, ref: "quay.io/a/b", want: me},
		"docker's own":             {file: `{"auths": {"https://index.docker.io/v1/": {"auth": "` + own + `"}}}`, ref: "docker.io/library/nginx", want: me},
		"podman's of docker's":     {file: `{"auths": {"docker.io": {"auth": "` + own + `"}}}`, ref: "docker.io/library/nginx", want: me},
		"a path":                   {file: `{"auths": {"quay.io": {"username": "other", "password": "x"}, "quay.io/a": {"auth": "` + own + `"}}}`, ref: "quay.io/a/b", want: me},
		"the path of another":      {file: `{"auths": {"quay.io": {"username": "other", "password": "x"}, "quay.io/a": {"auth": "` + own + `"}}}`, ref: "quay.io/ab", want: other},
		"nothing":                  {file: ``, ref: "quay.io/a", want: none},
		"empty":                    {file: `{"auths": {"quay.io": {}}}`, ref: "quay.io/a", want: none},
		"other fields":             {file: `{"HttpHeaders": {"a": "b"}, "psFormat": "x", "auths": {"quay.io": {"auth": "` + own + `", "email": "a@b"}}}`, ref: "quay.io/a", want: me},
		"store":                    {file: `{"auths": {"quay.io": {}}, "credsStore": "good"}`, ref: "quay.io/a", want: me, asked: "good get < quay.io"},
		"store of docker's own":    {file: `{"credsStore": "good"}`, ref: "docker.io/library/nginx", want: me, asked: "good get < https://index.docker.io/v1/"},
		"store with a token":       {file: `{"credsStore": "token"}`, ref: "quay.io/a", want: types.DockerAuthConfig{IdentityToken: "tok"}, asked: "token get < quay.io"},
		"helper":                   {file: `{"credHelpers": {"quay.io": "good"}}`, ref: "quay.io/a", want: me, asked: "good get < quay.io"},
		"helper of docker's own":   {file: `{"credHelpers": {"docker.io": "good"}}`, ref: "docker.io/library/nginx", want: me, asked: "good get < docker.io"},
		"helper before the store":  {file: `{"credHelpers": {"quay.io": "good"}, "credsStore": "fails"}`, ref: "quay.io/a", want: me, asked: "good get < quay.io"},
		"store for others":         {file: `{"credHelpers": {"quay.io": "fails"}, "credsStore": "good"}`, ref: "ghcr.io/a", want: me, asked: "good get < ghcr.io"},
		"helper without it":        {file: `{"auths": {"quay.io": {"auth": "` + own + `"}}, "credsStore": "forgets"}`, ref: "quay.io/a", want: me, asked: "forgets get < quay.io"},
		"helper that fails":        {file: `{"credsStore": "fails"}`, ref: "quay.io/a", want: none, asked: "fails get < quay.io", warning: "the store is locked"},
		"helper that is not there": {file: `{"credsStore": "desktop.exe"}`, ref: "quay.io/a", want: none, warning: "docker-credential-desktop.exe"},
		"helper that talks":        {file: `{"credsStore": "leaks"}`, ref: "quay.io/a", want: none, asked: "leaks get < quay.io", warning: "docker-credential-leaks"},
		"helper with a path":       {file: `{"credsStore": "../x"}`, ref: "quay.io/a", err: "can't be"},
		"helper with an argument":  {file: `{"credHelpers": {"quay.io": "good erase"}}`, ref: "quay.io/a", err: "can't be"},
		"not base64":               {file: `{"auths": {"quay.io": {"auth": "secret"}}}`, ref: "quay.io/a", err: `"quay.io": its auth is not`},
		"not of two parts":         {file: `{"auths": {"quay.io": {"auth": "c2VjcmV0"}}}`, ref: "quay.io/a", err: `"quay.io": its auth is not`},
		"no JSON":                  {file: `auths:`, ref: "quay.io/a", err: "is not what `docker login`"},
	} {
		t.Run(name, func(t *testing.T) {
			log := helpers(t, map[string]string{"good": knows, "token": token, "forgets": forgets, "fails": fails, "leaks": leaks})
			file := filepath.Join(t.TempDir(), "config.json")
			must(t, os.WriteFile(file, []byte(c.file), 0o600))
			named, err := reference.ParseNamed(c.ref)
			must(t, err)
			var warning string
			l, err := newLogins(&types.SystemContext{SystemRegistriesConfPath: os.DevNull}, file, func(err error) { warning += err.Error() })
			var got types.DockerAuthConfig
			for range 2 {
				if err == nil {
					got, err = l.find(t.Context(), named)
				}
			}
			if text := errorText(err) + warning; strings.Contains(text, "secret") || strings.Contains(text, "c2Vj") {
				t.Errorf("a secret is in %s", text)
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%+v %v", got, err)
			}
			if asked, err := os.ReadFile(log); strings.TrimSpace(string(asked)) != c.asked || err != nil && c.asked != "" {
				t.Errorf("helpers: %s %v", asked, err)
			}
			if (c.warning == "") != (warning == "") || !strings.Contains(warning, c.warning) {
				t.Errorf("warning %q", warning)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestHelperThatDoesNotAnswer(t *testing.T) {
	helpers(t, map[string]string{"waits": "exec sleep 600"})
	file := filepath.Join(t.TempDir(), "config.json")
	must(t, os.WriteFile(file, []byte(`{"credsStore": "waits"}`), 0o600))
	l, err := newLogins(&types.SystemContext{SystemRegistriesConfPath: os.DevNull}, file, func(err error) { t.Error(err) })
	must(t, err)
	named, err := reference.ParseNamed("quay.io/a")
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := l.find(ctx, named); err == nil {
		t.Error("it has a login")
	}
}

// TestLoginPaths: the usual places, in podman's order, docker's behind them.
func TestLoginPaths(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	env := map[string]string{"XDG_RUNTIME_DIR": filepath.Join(home, "run")}
	getenv := func(name string) string { return env[name] }
	login := func(path, name string) {
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(`{"auths": {"quay.io": {"username": "`+name+`", "password": "x"}}}`), 0o600))
	}
	named, err := reference.ParseNamed("quay.io/a")
	must(t, err)
	want := func(name string) {
		t.Helper()
		files, err := readLogins("", getenv)
		must(t, err)
		l := &logins{files: files}
		got, err := l.inFiles(t.Context(), named)
		if err != nil || got.Username != name {
			t.Errorf("%+v %v, want %s", got, err, name)
		}
	}
	want("")
	must(t, os.WriteFile(filepath.Join(home, legacyFile), []byte(`{"https://quay.io/v1/": {"username": "oldest", "password": "x"}}`), 0o600))
	want("oldest")
	login(filepath.Join(home, ".docker", "config.json"), "docker")
	want("docker")
	login(filepath.Join(home, ".config", "containers", "auth.json"), "containers")
	want("containers")
	if runtime.GOOS == "linux" {
		login(filepath.Join(home, "run", "containers", "auth.json"), "podman")
		want("podman")
	}
	env["REGISTRY_AUTH_FILE"] = filepath.Join(home, "named.json")
	login(env["REGISTRY_AUTH_FILE"], "named")
	want("named")
	if _, err := readLogins(filepath.Join(home, "gone.json"), getenv); err == nil {
		t.Error("a file that was asked for is not there, and nobody says so")
	}
}

// TestPullWithAHelper: what docker's file says is what the registry is asked with; a
// helper that fails is warned of, and does not keep public images away.
func TestPullWithAHelper(t *testing.T) {
	for name, c := range map[string]struct {
		file    string
		public  bool
		works   bool
		warning string
	}{
		"store":              {file: `{"auths": {"HOST": {}}, "credsStore": "good"}`, works: true},
		"two fields":         {file: `{"auths": {"HOST": {"username": "me", "password": "secret"}}}`, works: true},
		"broken, and public": {file: `{"credsStore": "fails"}`, public: true, works: true, warning: "the store is locked"},
		"broken":             {file: `{"credsStore": "fails"}`, warning: "the store is locked"},
	} {
		t.Run(name, func(t *testing.T) {
			helpers(t, map[string]string{"good": knows, "fails": fails})
			m := newFakeMirror(t)
			m.push("quay.io/a/b:v1", "amd64")
			m.hook("/v2/", func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
				if user, password, ok := r.BasicAuth(); c.public || ok && user == "me" && password == "secret" {
					return false
				}
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			})
			var asked string
			m.hook("/v2/quay.io/a/b/manifests/v1", func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
				asked, _, _ = r.BasicAuth()
				if asked != "me" && !c.public {
					w.WriteHeader(http.StatusUnauthorized)
					return true
				}
				return false
			})
			opts := m.imagesOnly(t, "quay.io/a/b:v1")
			opts.AuthFile = filepath.Join(t.TempDir(), "config.json")
			must(t, os.WriteFile(opts.AuthFile, []byte(strings.ReplaceAll(c.file, "HOST", m.host())), 0o600))
			events := &recorder{}
			_, err := Create(t.Context(), opts, events)
			if (err == nil) != c.works || c.works && !c.public && asked != "me" {
				t.Errorf("%v, asked by %q", err, asked)
			}
			var warnings []string
			for _, e := range events.events {
				if e.Kind == report.Warning {
					warnings = append(warnings, e.Message)
				}
			}
			if got := strings.Join(warnings, "\n"); (got == "") != (c.warning == "") || !strings.Contains(got, c.warning) {
				t.Errorf("warnings %q", got)
			}
		})
	}
}
