package cmd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/klog/v2"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// TestVerbosity: a verb that reads the cluster says nothing of its requests without -v, one
// line each from 6 on, and their bodies from 8 on, without those of Secrets.
func TestVerbosity(t *testing.T) {
	defer klog.CaptureState().Restore()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		// A client that went away has its answer no more.
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"the-answer"}`)
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "config")
	config := `{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":"` + server.URL + `"}}],
		"users":[{"name":"c","user":{"token":"the-callers-token"}}],"contexts":[{"name":"c","context":{"cluster":"c","user":"c"}}]}`
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		flags            []string
		requests, bodies bool
	}{
		{nil, false, false},
		{[]string{"-v", "5"}, false, false},
		{[]string{"-v", "6"}, true, false},
		{[]string{"--v=7"}, true, false},
		{[]string{"-v8"}, true, true},
		{[]string{"-v", "10"}, true, true},
		{[]string{"-v", "9", "-v", "0"}, false, false},
	} {
		code, out, errOut := run(t, append([]string{"images", "list", "--kubeconfig", path}, tc.flags...)...)
		if code == cli.ExitOK || out != "" {
			t.Fatalf("%v: exit code %d, %q", tc.flags, code, out)
		}
		if got := strings.Contains(errOut, server.URL+"/api/v1/nodes"); got != tc.requests {
			t.Errorf("%v shows the request: %v\n%s", tc.flags, got, errOut)
		}
		if got := strings.Contains(errOut, "Response Body"); got != tc.bodies {
			t.Errorf("%v shows the body: %v\n%s", tc.flags, got, errOut)
		}
		if strings.Contains(errOut, "the-callers-token") {
			t.Errorf("%v shows the token", tc.flags)
		}
	}
	for _, bad := range []string{"x", "-1", "1.5"} {
		if code, _, errOut := run(t, "version", "--v="+bad); code != cli.ExitUsage || !strings.Contains(errOut, "is not a valid level") {
			t.Errorf("-v %s: exit code %d, %q", bad, code, errOut)
		}
	}
}
