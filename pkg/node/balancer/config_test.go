package balancer

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func testBackends() []Backend { return []Backend{{"cp1", "10.0.0.1"}, {"cp2", "fd00::2"}} }

// TestHAProxyConfig pins what the load balancer promises: streams may be silent for a day
// (issue: kubeadm#2227), and who fails two looks within seconds is out.
func TestHAProxyConfig(t *testing.T) {
	text := string(haproxyConfig(Settings{Port: 8443, APIServerPort: 6443}, members{backends: testBackends()}, 1000, "/ca.crt", "/run/s.sock"))
	for _, want := range []string{
		"timeout client 86400000ms", "timeout server 86400000ms", "timeout tunnel 86400000ms", "option clitcpka", "option srvtcpka",
		"maxconn 1000", "bind fd@3", "option redispatch 1", "timeout check 600ms",
		"http-check send meth GET uri /readyz", "default-server inter 500ms fastinter 200ms downinter 500ms fall 2 rise 2",
		"server cp1 10.0.0.1:6443 check check-ssl verify required ca-file /ca.crt verifyhost kubernetes check-sni kubernetes",
		"server cp2 [fd00::2]:6443 check ", "server cp1:unchecked 10.0.0.1:6443 backup", "stats socket /run/s.sock mode 600",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestNginxConfig(t *testing.T) {
	any6, any4 := &net.TCPAddr{IP: net.IPv6unspecified, Port: 8443}, &net.TCPAddr{IP: net.IPv4zero, Port: 8443}
	for name, tc := range map[string]struct {
		down   map[string]bool
		listen net.Addr
		want   []string
		never  string
	}{
		"all well": {nil, any6, []string{"proxy_timeout 86400000ms;", "listen [::]:8443 ipv6only=off so_keepalive=20:10:3;",
			"server 10.0.0.1:6443 max_fails=1", "server [fd00::2]:6443 max_fails=1", "proxy_next_upstream_tries 3;"}, " down;"},
		"one down":     {map[string]bool{"cp2": true}, any4, []string{"listen 0.0.0.0:8443 so_keepalive", "server [fd00::2]:6443 down;", "server 10.0.0.1:6443 max_fails=1"}, "ipv6only"},
		"all are down": {map[string]bool{"cp1": true, "cp2": true}, any6, []string{"server 10.0.0.1:6443 max_fails=1"}, " down;"},
	} {
		t.Run(name, func(t *testing.T) {
			text := string(nginxConfig(Settings{Port: 8443, APIServerPort: 6443}, testBackends(), tc.down, 100, tc.listen, "/run/pid"))
			for _, want := range tc.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			if strings.Contains(text, tc.never) {
				t.Errorf("%q in\n%s", tc.never, text)
			}
		})
	}
}

func TestParseSettings(t *testing.T) {
	good := `{"type":"haproxy","port":8443,"apiServerPort":6443,"backends":[{"name":"b","address":"10.0.0.2"},{"name":"a","address":"10.0.0.1"}]}`
	s, err := ParseSettings([]byte(good))
	if err != nil || s.Backends[0].Name != "a" || s.Type != v1alpha1.LoadBalancerHAProxy {
		t.Fatalf("%+v %v", s, err)
	}
	for name, bad := range map[string]string{
		"no JSON":              `{`,
		"another type":         strings.Replace(good, "haproxy", "envoy", 1),
		"no port":              strings.Replace(good, "8443", "0", 1),
		"too high a port":      strings.Replace(good, "6443", "65536", 1),
		"nobody":               `{"type":"haproxy","port":8443,"apiServerPort":6443,"backends":[]}`,
		"no address":           strings.Replace(good, "10.0.0.2", "10.0.0", 1),
		"a name with a line":   strings.Replace(good, `"b"`, `"b\n  bind :1"`, 1),
		"a name with a blank":  strings.Replace(good, `"b"`, `"b c"`, 1),
		"a name in upper case": strings.Replace(good, `"b"`, `"B"`, 1),
	} {
		if _, err := ParseSettings([]byte(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestParseNodes(t *testing.T) {
	list := `{"items":[{"metadata":{"name":"cp2"},"status":{"addresses":[{"type":"Hostname","address":"cp2"},{"type":"InternalIP","address":"10.0.0.2"},{"type":"InternalIP","address":"fd00::2"}]}},
		{"metadata":{"name":"cp1"},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}},{"metadata":{"name":"new"},"status":{}}]}`
	got, err := parseNodes([]byte(list))
	if err != nil || len(got) != 2 || got[0] != (Backend{"cp1", "10.0.0.1"}) || got[1] != (Backend{"cp2", "10.0.0.2"}) {
		t.Errorf("%v %v", got, err)
	}
	for name, bad := range map[string]string{"no JSON": `[`, "nobody": `{"items":[]}`, "no address": `{"items":[{"metadata":{"name":"cp1"},"status":{"addresses":[{"type":"InternalIP","address":"x"}]}}]}`} {
		if _, err := parseNodes([]byte(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestParseStats(t *testing.T) {
	raw, err := os.ReadFile("testdata/show-stat.csv")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseStats(string(raw))
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	if got[0].Name != "cp1" || !got[0].Up || got[0].Streams != 3 || got[1].Name != "cp2" || got[1].Up || got[1].Seconds != 7 || !strings.HasPrefix(got[1].Reason, "L4CON") {
		t.Errorf("%+v", got)
	}
	for name, bad := range map[string]string{"nothing": "", "nobody": "# pxname,svname\nkubernetes,FRONTEND\n", "no CSV": "# a,b\n\"x"} {
		if _, err := parseStats(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
