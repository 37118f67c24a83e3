package survey

import (
	"errors"
	"net"
	"reflect"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

// guide is as kubeadm's guide has it.
// https://github.com/kubernetes/kubeadm/blob/main/docs/ha-considerations.md#keepalived-configuration
const guide = `! /etc/keepalived/keepalived.conf
! Configuration File for keepalived
global_defs {
    router_id LVS_DEVEL
}
vrrp_script check_apiserver {
  script "/etc/keepalived/check_apiserver.sh"
  interval 3
  weight -2
  fall 10
  rise 2
}

vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 77   # the cluster's
    priority 101
    authentication {
        auth_type PASS
        auth_pass 42
    }
    virtual_ipaddress {
        192.0.2.100/24 dev eth0
    }
    track_script {
        check_apiserver
    }
}
`

func TestParse(t *testing.T) {
	for name, tt := range map[string]struct {
		config string
		want   Keepalived
	}{
		"kubeadm's guide": {guide, Keepalived{Interface: "eth0", RouterID: 77, Addresses: []string{"192.0.2.100"}, Checks: true}},
		"a brace of its own line": {"vrrp_instance A\n{\n interface ens3\n virtual_router_id 5\n advert_int 0.2\n virtual_ipaddress\n {\n  fd00::1\n  192.0.2.9\n }\n}\n",
			Keepalived{Interface: "ens3", RouterID: 5, Seconds: 0.2, Addresses: []string{"fd00::1", "192.0.2.9"}}},
		"files that are tracked, as kubectl-ha has them": {"track_file apiserver {\n file /run/x\n weight -2\n}\nvrrp_instance kubernetes {\n interface eth0\n virtual_router_id 50\n advert_int 0.2\n" +
			" unicast_peer {\n  192.0.2.2\n }\n virtual_ipaddress {\n  192.0.2.100/24 dev eth0\n }\n track_file {\n  apiserver\n }\n}\n",
			Keepalived{Interface: "eth0", RouterID: 50, Seconds: 0.2, Addresses: []string{"192.0.2.100"}, Checks: true}},
		"on one line":          {"vrrp_instance A { interface e\n virtual_router_id 9\n virtual_ipaddress { 192.0.2.9/32 } }", Keepalived{Interface: "e", RouterID: 9, Addresses: []string{"192.0.2.9"}}},
		"the first of several": {"vrrp_instance A {\n virtual_router_id 1\n}\nvrrp_instance B {\n virtual_router_id 2\n}\n", Keepalived{RouterID: 1}},
		"no instance":          {"global_defs {\n router_id X\n}\n", Keepalived{}},
		"torn":                 {"vrrp_instance A {\n interface e\n virtual_ipaddress {\n", Keepalived{Interface: "e"}},
		"no number":            {"vrrp_instance A {\n virtual_router_id many\n}\n", Keepalived{}},
		"empty":                {"", Keepalived{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Parse([]byte(tt.config)); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(guide))
	f.Add([]byte("vrrp_instance A { virtual_ipaddress {"))
	f.Fuzz(func(_ *testing.T, raw []byte) { Parse(raw) }) // It ends, and does not panic.
}

func TestConfigVersion(t *testing.T) {
	for config, want := range map[string]int{
		"": 0, "version = 2\n": 2, "# version = 3\nversion=3\n[plugins]\n": 3, "[plugins.x]\nversion = 2\n": 1, "root = '/x'\n": 1, "version = 'x'\n": 1,
	} {
		if got := configVersion([]byte(config)); got != want {
			t.Errorf("%q: %d, want %d", config, got, want)
		}
	}
}

// TestRun: all that is there is told, what can't be read is named, and nothing is changed.
func TestRun(t *testing.T) {
	h := hosttest.Open(t, t.TempDir(), hosttest.NewCommander(t))
	for file, content := range map[string]string{
		"/etc/keepalived/keepalived.conf": guide, "/etc/kubernetes/manifests/haproxy.yaml": "x", "/etc/kubernetes/manifests/README": "x",
		"/etc/containerd/config.toml": "version = 2\n", "/var/lib/kubelet/config.yaml": "cgroupDriver: cgroupfs\n",
	} {
		hosttest.Write(t, h, file, content, 0o644)
	}
	before := len(h.Changes())
	_, subnet, err := net.ParseCIDR("192.0.2.0/24")
	if err != nil {
		t.Fatal(err)
	}
	subnet.IP = net.ParseIP("192.0.2.100").To4()
	l := &look{h: h, hostname: func() (string, error) { return "", errors.New("no name") }, addresses: func() ([]net.Addr, error) { return []net.Addr{subnet}, nil }}
	f := l.run()
	if !reflect.DeepEqual(f.Addresses, []string{"192.0.2.100/24"}) || f.Keepalived == nil || f.Keepalived.Ours || f.Keepalived.RouterID != 77 ||
		!reflect.DeepEqual(f.StaticPods, []string{"haproxy"}) || f.ContainerdConfig != 2 || f.CgroupDriver != "cgroupfs" {
		t.Errorf("%+v", f)
	}
	if !reflect.DeepEqual(f.Missed, []string{"the host's name: no name"}) || len(h.Changes()) != before {
		t.Errorf("%q, %v", f.Missed, h.Changes())
	}
	hosttest.Write(t, h, "/etc/kubectl-ha/vip.json", "{}", 0o644)
	if f := (&look{h: h, hostname: l.hostname, addresses: l.addresses}).run(); f.Keepalived == nil || !f.Keepalived.Ours {
		t.Errorf("%+v", f.Keepalived)
	}
}
