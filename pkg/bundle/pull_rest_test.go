package bundle

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"
)

// registrySource is known by its reference; nothing else of it may be asked.
type registrySource struct {
	types.ImageSource
	ref types.ImageReference
}

func (s registrySource) Reference() types.ImageReference { return s.ref }

// TestRestOf asks registries of all kinds for the second half of a blob.
func TestRestOf(t *testing.T) {
	const data = "0123456789"
	blob := types.BlobInfo{Digest: digest.FromString(data), Size: int64(len(data))}
	rest := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", testTime, strings.NewReader(data))
	}
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request)
		// login is what the registry wants.
		login bool
		// has is whether there is one in the file of logins.
		has  bool
		want string
		from int64
		// transient is whether the failure may be over in a moment.
		fails, transient bool
	}{
		"ranges":                 {serve: rest, want: "56789", from: 5},
		"no ranges":              {serve: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, data) }, want: data},
		"a login":                {serve: rest, login: true, has: true, want: "56789", from: 5},
		"no login for it":        {serve: rest, login: true, fails: true},
		"another range":          {serve: another, fails: true},
		"no range of what it is": {serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPartialContent) }, fails: true},
		"not there":              {serve: http.NotFound, fails: true},
		"overloaded":             {serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, fails: true, transient: true},
		"unwell":                 {serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, fails: true, transient: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				user, password, _ := r.BasicAuth()
				switch {
				case c.login && (user != "me" || password != "secret"):
					w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
					w.WriteHeader(http.StatusUnauthorized)
				case r.URL.Path == "/v2/":
				case r.URL.Path != "/v2/a/b/blobs/"+blob.Digest.String() || r.Header.Get("Range") != "bytes=5-" || r.Header.Get("User-Agent") == "":
					t.Errorf("it was asked for %s, %v", r.URL, r.Header)
				default:
					c.serve(w, r)
				}
			}))
			defer server.Close()
			host := strings.TrimPrefix(server.URL, "http://")
			auths := "{}"
			if c.has {
				auths = fmt.Sprintf(`{"auths":{%q:{"username":"me","password":"secret"}}}`, host)
			}
			file := filepath.Join(t.TempDir(), "auth.json")
			must(t, os.WriteFile(file, []byte(auths), 0o600))
			system := &types.SystemContext{DockerRegistryUserAgent: "kubectl-ha", SystemRegistriesConfPath: os.DevNull}
			logins, err := newLogins(system, file, func(err error) { t.Error(err) })
			must(t, err)
			ref, err := docker.ParseReference("//" + host + "/a/b:v1")
			must(t, err)
			p := &puller{system: system, logins: logins, mirrors: map[string]string{"quay.io": server.URL + "/a"}}
			r, from, err := p.restOf(t.Context(), registrySource{ref: ref}, blob, 5)
			if (err != nil) != c.fails || err != nil && transient(err) != c.transient || from != c.from {
				t.Fatalf("from %d, %v", from, err)
			}
			if err != nil {
				return
			}
			got, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil || string(got) != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// another sends a range that nobody asked for.
func another(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Range", "bytes 50-59/100")
	w.WriteHeader(http.StatusPartialContent)
}
