package bundletest

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Upstream serves files under Upstream's own hosts and paths, as a mirror does, and has
// no images.
func Upstream(t *testing.T, files map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(content)) // A client that has gone away sees it itself.
	}))
	t.Cleanup(s.Close)
	return s.URL
}
