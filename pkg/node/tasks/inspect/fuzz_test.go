package inspect

import (
	"strings"
	"testing"
)

// FuzzConfigurations: load balancers' and keepalived's configurations, which people write,
// are understood or left out.
func FuzzConfigurations(f *testing.F) {
	for _, seed := range []string{"", "defaults\n timeout client 4h # x\n default-server on-marked-down shutdown-sessions\nbackend a\n server b 10.0.0.1:6443 check\n", "stream { server { proxy_timeout 1h; } }", "stream {", "}}}", "proxy_timeout",
		"unicast_peer {\n 10.0.0.1\n}\n", "unicast_peer", "stream{include x;}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		timeouts(text)
		resets(text)
		nginxIdle(text)
		if has, peers := unicast(text); !has && peers > 0 {
			t.Errorf("%d peers of none", peers)
		}
	})
}

// FuzzClean: whatever is in the lines around it, a secret that is one by its form is left out.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{"", "token: \"", "-----BEGIN PRIVATE KEY-----", "Authorization:", "http://u:p@h", "{\"password\": \"a b\"", "--certificate-key"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		for secret, line := range map[string]string{
			"0123456789abcdef":   "kubeadm join 10.0.0.1 abcdef.0123456789abcdef",
			"hunter2hunter2":     "proxy is http://user:hunter2hunter2@10.0.0.1:3128",
			"eyJhbGciOiJSUzI1Ni": "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJl.c2lnbmF0dXJl",
		} {
			if strings.Contains(before+after, secret) {
				continue
			}
			if got := Clean(before + "\n" + line + "\n" + after); strings.Contains(got, secret) {
				t.Errorf("%q is left in %q", secret, got)
			}
		}
	})
}
