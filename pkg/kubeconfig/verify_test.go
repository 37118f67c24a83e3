package kubeconfig

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// api answers the two reviews, and nothing else.
func api(t *testing.T, username string, allowed bool) (*httptest.Server, []byte) {
	t.Helper()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tok" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/selfsubjectreviews"):
			review := &authenticationv1.SelfSubjectReview{}
			review.APIVersion, review.Kind = "authentication.k8s.io/v1", "SelfSubjectReview"
			review.Status.UserInfo.Username = username
			answer(w, review)
		case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
			review := &authorizationv1.SelfSubjectAccessReview{}
			review.APIVersion, review.Kind = "authorization.k8s.io/v1", "SelfSubjectAccessReview"
			review.Status.Allowed = allowed
			answer(w, review)
		default:
			t.Errorf("unexpected %s %s", r.Method, r.URL)
		}
	}))
	t.Cleanup(server.Close)
	return server, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func content(t *testing.T, server string, ca []byte, token string) []byte {
	t.Helper()
	o := options()
	o.Server = server
	data, err := Encode(build(o, ca, &clientcmdapi.AuthInfo{Token: token}))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestVerify(t *testing.T) {
	server, ca := api(t, "alice", true)
	if err := Verify(context.Background(), content(t, server.URL, ca, "tok"), "alice", nil); err != nil {
		t.Error(err)
	}
}

func TestVerifyGoesThroughTheDial(t *testing.T) {
	server, ca := api(t, "alice", true)
	used := false
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		used = true
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	// 127.0.0.2 is in no certificate of the test server's, example.com is.
	if err := Verify(context.Background(), content(t, "https://example.com:1", ca, "tok"), "alice", dial); err != nil || !used {
		t.Errorf("used %v, %v", used, err)
	}
}

func TestVerifyRefusesWhatDoesNotWork(t *testing.T) {
	known, ca := api(t, "alice", true)
	weak, weakCA := api(t, "alice", false)
	_, otherCA := api(t, "alice", true)
	closed := httptest.NewTLSServer(http.NotFoundHandler())
	closed.Close()
	for name, tc := range map[string]struct {
		content  []byte
		username string
		want     string
	}{
		"wrong token":     {content(t, known.URL, ca, "other"), "alice", "provide credentials"},
		"another user":    {content(t, known.URL, ca, "tok"), "bob", `"alice" instead of "bob"`},
		"not an admin":    {content(t, weak.URL, weakCA, "tok"), "alice", "cluster-admin"},
		"nobody there":    {content(t, closed.URL, otherCA, "tok"), "alice", "refused"},
		"no kubeconfig":   {[]byte("{"), "alice", "read the new kubeconfig"},
		"no credentials":  {[]byte(strings.ReplaceAll(string(content(t, known.URL, ca, "tok")), "token: tok", "{}")), "alice", "no credentials"},
		"foreign CA data": {content(t, known.URL, []byte("no PEM"), "tok"), "alice", "use the new kubeconfig"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("took a minute"))
			defer cancel()
			err := verify(ctx, tc.content, expected{username: tc.username, admin: true}, nil, time.Second)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestVerifyTellsAnInterruption(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("interrupted")
	cancel(cause)
	server, ca := api(t, "alice", false)
	if err := Verify(ctx, content(t, server.URL, ca, "tok"), "alice", nil); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestReachable(t *testing.T) {
	server, ca := api(t, "alice", true)
	there := content(t, server.URL, ca, "tok")
	if !Reachable(context.Background(), there) {
		t.Error("the server is there")
	}
	server.Close()
	if Reachable(context.Background(), there) {
		t.Error("the server is gone")
	}
}
