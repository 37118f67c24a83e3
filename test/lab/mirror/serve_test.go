package mirror

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMirror(t *testing.T) {
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	if err := os.MkdirAll(filepath.Join(files, "dl.k8s.io/v1"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{"files/dl.k8s.io/v1/kubeadm": "program", "secret": "secret"} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "registry %s as %s", r.URL.Path, r.Host)
	}))
	defer registry.Close()
	var log strings.Builder
	server := httptest.NewServer(logged(handler(files, strings.TrimPrefix(registry.URL, "http://")), &log))
	defer server.Close()
	own := strings.TrimPrefix(server.URL, "http://")

	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/dl.k8s.io/v1/kubeadm":            {200, "program"},
		"/dl.k8s.io/v1/kubelet":            {404, ""},
		"/dl.k8s.io/v1/":                   {404, ""},
		"/dl.k8s.io/v1":                    {404, ""},
		"/%2e%2e/secret":                   {404, ""},
		"/v2/registry.k8s.io/pause/tags/x": {200, "registry /v2/registry.k8s.io/pause/tags/x as " + own},
	} {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want.status || (want.body != "" && string(body) != want.body) {
			t.Errorf("%s: %d %q, want %d %q", path, resp.StatusCode, body, want.status, want.body)
		}
	}
	if !strings.Contains(log.String(), " GET /dl.k8s.io/v1/kubeadm 200 7 ") {
		t.Errorf("log:\n%s", log.String())
	}
}
