package inspect

import "testing"

func TestResets(t *testing.T) {
	const ends = " on-marked-down shutdown-sessions"
	for name, c := range map[string]struct {
		config string
		want   string
	}{
		"no file":          {"", "none"},
		"no servers":       {"defaults\n timeout client 4h\n", "none"},
		"plain":            {"backend a\n server x 192.0.2.1:6443 check\n", "false"},
		"each server":      {"backend a\n server x 192.0.2.1:6443 check" + ends + "\n server y 192.0.2.2:6443 check" + ends + "\n", "true"},
		"one server":       {"backend a\n server x 192.0.2.1:6443 check" + ends + "\n server y 192.0.2.2:6443 check\n", "false"},
		"default-server":   {"listen a\n default-server inter 1s" + ends + "\n server x 192.0.2.1:6443 check\n", "true"},
		"by defaults":      {"defaults\n default-server" + ends + "\nbackend a\n server x 192.0.2.1:6443 check\n", "true"},
		"another backend":  {"backend a\n default-server" + ends + "\nbackend b\n server x 192.0.2.1:6443 check\n", "false"},
		"in a comment":     {"backend a\n server x 192.0.2.1:6443 check #" + ends + "\n", "false"},
		"other defaults":   {"defaults\n default-server" + ends + "\ndefaults\n mode tcp\nbackend a\n server x 192.0.2.1:6443\n", "false"},
		"a frontend after": {"backend a\n server x 192.0.2.1:6443" + ends + "\nfrontend f\n bind :8443\n", "true"},
	} {
		got := "none"
		if r := resets(c.config); r != nil {
			got = map[bool]string{true: "true", false: "false"}[*r]
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestNginxIdle(t *testing.T) {
	for config, want := range map[string]string{
		"":                                      "",
		"http { server { proxy_timeout 1s; } }": "",
		"events {}\nstream {\n server { listen 8443; proxy_pass a; }\n}": "10m",
		"stream { server { listen 8443; proxy_timeout 24h; } }":          "24h",
		"stream{proxy_timeout 4h;server{listen 8443;}}":                  "4h",
		"stream { # proxy_timeout 24h;\n server { listen 8443; } }":      "10m",
		"stream { include /etc/nginx/streams.d/*.conf; }":                "",
		"stream { server { listen 1; } } http { proxy_timeout 9h; }":     "10m",
	} {
		if got := nginxIdle(config); got != want {
			t.Errorf("%q: got %q, want %q", config, got, want)
		}
	}
}
