package balancer

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// FuzzSettings: settings that are accepted are complete.
func FuzzSettings(f *testing.F) {
	for _, s := range []Settings{{}, {Type: v1alpha1.LoadBalancerHAProxy, Port: 8443, APIServerPort: 6443, Backends: []Backend{{Name: "cp1", Address: "10.0.0.1"}}},
		{Type: v1alpha1.LoadBalancerNginx, Port: 70000, APIServerPort: 6443, Backends: []Backend{{Name: "cp1;", Address: "fd00::1"}}}} {
		raw, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ParseSettings(raw)
		if err != nil {
			return
		}
		if s.Port < 1 || s.APIServerPort < 1 {
			t.Errorf("%+v", s)
		}
		plain(t, s.Backends)
	})
}

// plain checks that backends can be put into a program's configuration as they are.
func plain(t *testing.T, all []Backend) {
	t.Helper()
	if len(all) == 0 {
		t.Error("nobody is asked")
	}
	for _, b := range all {
		if a, err := netip.ParseAddr(b.Address); err != nil || a.Zone() != "" || b.check() != nil {
			t.Errorf("%+v is no address without a zone, which may be any text: %v", b, err)
		}
		for _, r := range b.Name {
			if r <= ' ' || r == '"' || r == '\'' || r == ';' || r == '{' || r == '}' || r == '#' || r == '\\' || r == '$' || r > '~' {
				t.Errorf("the name %q has %q, which configurations give a meaning", b.Name, r)
			}
		}
	}
}

// FuzzNodes: who is named by an apiserver can be put into a configuration.
func FuzzNodes(f *testing.F) {
	for _, seed := range []string{"{}", `{"items":[{"metadata":{"name":"cp1"},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}}]}`,
		`{"items":[{"metadata":{"name":"a\nb"},"status":{"addresses":[{"type":"InternalIP","address":"fe80::1%;"}]}}]}`, "[]", `{"items":[null]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if all, err := parseNodes(body); err == nil {
			plain(t, all)
		}
	})
}

// FuzzStats: haproxy's statistics are understood, or refused.
func FuzzStats(f *testing.F) {
	for _, seed := range []string{"", "# pxname,svname,scur,status,lastchg\napiservers,cp1,3,UP,5\napiservers,cp1-unchecked,1,UP,5\n", "# pxname,svname\napiservers,BACKEND\n", "pxname\nx,y\n", "\"", "# svname,pxname,status\ncp,apiservers,DOWN\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseStats(text)
		if (err == nil) != (len(all) > 0) {
			t.Errorf("%+v, %v", all, err)
		}
		for _, h := range all {
			if h.Streams < -1 {
				t.Errorf("%+v", h)
			}
		}
	})
}
