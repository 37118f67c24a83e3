package kubeconfig

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientauthv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenUntil is a token, as far as its expiry goes.
func tokenUntil(at time.Time) string {
	claims := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"exp":%d}`, at.Unix())))
	return "e30." + claims + ".c2ln"
}

func tokenConfig(token string) *clientcmdapi.Config {
	return build(Options{Cluster: "c", Server: "https://10.0.0.100:8443", User: "alice"}, []byte("ca"), &clientcmdapi.AuthInfo{Token: token})
}

// TestWithExec: the file has no secret, and asks for the one that is kept elsewhere.
func TestWithExec(t *testing.T) {
	c := tokenConfig("secret")
	out := WithExec(c, "/state/c.kubeconfig", 0)
	login := out.AuthInfos["c-alice"]
	if login.Token != "" || login.Exec == nil || login.Exec.Args[len(login.Exec.Args)-1] != "/state/c.kubeconfig" || login.Exec.InteractiveMode != clientcmdapi.NeverExecInteractiveMode {
		t.Errorf("%+v", login)
	}
	if c.AuthInfos["c-alice"].Token != "secret" {
		t.Error("the original was changed")
	}
}

// TestExecDuration: renewed credentials live as long as was asked for, and are renewed by
// their own life: one that was made for an hour lasts with 50 minutes left, and not with 10.
func TestExecDuration(t *testing.T) {
	login := WithExec(tokenConfig("secret"), "/state/c.kubeconfig", 8*time.Hour).AuthInfos["c-alice"]
	if got := strings.Join(login.Exec.Args, " "); got != "kubeconfig credential --duration 8h0m0s --file /state/c.kubeconfig" {
		t.Error(got)
	}
	now := time.Now()
	for left, want := range map[time.Duration]int{50 * time.Minute: 0, 10 * time.Minute: 1} {
		end := now.Add(left)
		claims := fmt.Sprintf(`{"iat":%d,"exp":%d}`, end.Add(-time.Hour).Unix(), end.Unix())
		path := filepath.Join(t.TempDir(), "credentials", "c.kubeconfig")
		if err := StoreCredential(path, tokenConfig("e30."+base64.RawURLEncoding.EncodeToString([]byte(claims))+".c2ln")); err != nil {
			t.Fatal(err)
		}
		asked := 0
		if _, err := Credential(t.Context(), path, func(context.Context, []byte) (*Issued, error) {
			asked++
			return nil, errors.New("no rights")
		}, now); err != nil {
			t.Fatal(err)
		}
		if asked != want {
			t.Errorf("with %s left it was to be renewed %d times, instead of %d", left, asked, want)
		}
	}
}

// TestCredential: what lasts is handed out as it is; what is about to end is renewed, or
// handed out for as long as it lives when that can't be; what has ended is an error.
func TestCredential(t *testing.T) {
	now := time.Now()
	long, short, ended := tokenUntil(now.Add(7*time.Hour)), tokenUntil(now.Add(20*time.Minute)), tokenUntil(now.Add(-time.Minute))
	fresh := tokenUntil(now.Add(8 * time.Hour))
	ok := func(context.Context, []byte) (*Issued, error) { return &Issued{Config: tokenConfig(fresh)}, nil }
	no := func(context.Context, []byte) (*Issued, error) { return nil, errors.New("no rights") }
	for name, tc := range map[string]struct {
		have  string
		renew Renewer
		want  string
	}{
		"it lasts":                      {long, no, long},
		"about to end":                  {short, ok, fresh},
		"about to end, can't be":        {short, no, short},
		"ended":                         {ended, ok, ""},
		"about to end, nobody says so ": {short, func(context.Context, []byte) (*Issued, error) { return &Issued{Config: tokenConfig("")}, nil }, short},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "credentials", "c.kubeconfig")
			if err := StoreCredential(path, tokenConfig(tc.have)); err != nil {
				t.Fatal(err)
			}
			out, err := Credential(t.Context(), path, tc.renew, now)
			if tc.want == "" {
				if err == nil || !strings.Contains(err.Error(), "kubeconfig --exec") {
					t.Errorf("%v", err)
				}
				return
			}
			var got clientauthv1.ExecCredential
			if err != nil || json.Unmarshal(out, &got) != nil || got.Status.Token != tc.want || !got.Status.ExpirationTimestamp.After(now) {
				t.Fatalf("%v %s", err, out)
			}
			content, err := os.ReadFile(path)
			if err != nil || !strings.Contains(string(content), tc.want) {
				t.Errorf("%v: what is kept is not what was handed out", err)
			}
			info, err := os.Stat(filepath.Dir(path))
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%v %v", info, err)
			}
		})
	}
}
