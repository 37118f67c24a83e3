package balancer

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestListNeedsBothAnswers: an apiserver that tells of the nodes and then not of its health
// says nothing of how strangers are treated; what is known stays.
func TestListNeedsBothAnswers(t *testing.T) {
	pki, answers := newAuthority(t), true
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/api/v1/nodes":
			_, _ = out.Write([]byte(`{"items":[{"metadata":{"name":"cp1"},"status":{"addresses":[{"type":"InternalIP","address":"127.0.0.1"}]}}]}`))
		case answers:
			http.Error(out, "who?", http.StatusUnauthorized)
		default:
			panic(http.ErrAbortHandler)
		}
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pki.serving}}
	s.Config.ErrorLog = quietLog()
	s.StartTLS()
	t.Cleanup(s.Close)
	dir := t.TempDir()
	for name, content := range map[string][]byte{"ca.crt": pki.pem, "token": []byte("secret")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(at.Port(), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	l := lister{port: int32(port), caFile: filepath.Join(dir, "ca.crt"), tokenFile: filepath.Join(dir, "token")}
	from := []Backend{{"cp1", at.Hostname()}}
	if got, err := l.list(t.Context(), from); err != nil || !got.refused || len(got.backends) != 1 {
		t.Errorf("%+v %v", got, err)
	}
	answers = false
	if got, err := l.list(t.Context(), from); err == nil {
		t.Errorf("without an answer about its health: %+v", got)
	}
}
