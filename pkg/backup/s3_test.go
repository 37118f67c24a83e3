package backup

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
	"github.com/kubectl-ha/kubectl-ha/test/s3test"
)

// TestS3 has a backup at a real server, whose answers a proxy spoils: nothing wrong passes for what was
// sent, and a wrong key reads nothing.
func TestS3(t *testing.T) {
	var lies atomic.Pointer[func([]byte) []byte]
	endpoint := s3test.Start(t).Before(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		lie := lies.Load()
		if lie == nil || r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, ".age") {
			next.ServeHTTP(w, r)
			return
		}
		said := httptest.NewRecorder()
		next.ServeHTTP(said, r)
		for k, v := range said.Header() {
			w.Header()[k] = v
		}
		w.Header().Del("Content-Length")
		w.WriteHeader(said.Code)
		_, _ = w.Write((*lie)(said.Body.Bytes()))
	}, nil)
	s, err := store.Open(t.Context(), store.Config{URL: "s3://" + s3test.Bucket + "/p", Endpoint: endpoint, Region: s3test.Region,
		Credentials: map[string]string{store.KeyAccess: s3test.Access, store.KeySecret: s3test.Secret}})
	if err != nil {
		t.Fatal(err)
	}
	id, content := newIdentity(t), random(t, 12<<20)
	m := made(t, s, "b", id.Recipient(), content)
	folder, part := Folder(identity, "b"), m.Parts[0]
	key, err := unlock(t, s, folder, part, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unlock(t, s, folder, part, newIdentity(t)); err == nil || !strings.Contains(err.Error(), "none of the identities fits") {
		t.Errorf("with the wrong key: %v", err)
	}
	var got bytes.Buffer
	if err := Fetch(t.Context(), s, folder, part, key, &got); err != nil || !bytes.Equal(got.Bytes(), content) {
		t.Fatalf("%v, %d bytes", err, got.Len())
	}
	for name, lie := range map[string]func([]byte) []byte{
		"one bit":       func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"it ends early": func(b []byte) []byte { return b[:len(b)-100] },
		"it goes on":    func(b []byte) []byte { return append(b, "more"...) },
		"nothing":       func([]byte) []byte { return nil },
		"another":       func(b []byte) []byte { return make([]byte, len(b)) },
	} {
		lies.Store(&lie)
		if err := Fetch(t.Context(), s, folder, part, key, io.Discard); err == nil {
			t.Errorf("%s: it is read without an error", name)
		}
		if err := Compare(t.Context(), s, folder, part); err == nil {
			t.Errorf("%s: it is taken for right", name)
		}
		lies.Store(nil)
	}
}
