package vip

import (
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

func TestConf(t *testing.T) {
	conf := string(testSpec().conf(place{"eth0", netip.MustParsePrefix("10.0.0.100/24")}))
	for _, want := range []string{
		"vrrp_version 3\n", "vrrp_check_unicast_src\n", "interface eth0\n", "virtual_router_id 51\n", "priority 190\n", "advert_int 0.2\n",
		"unicast_src_ip 10.0.0.1\n    unicast_peer {\n        10.0.0.2\n        10.0.0.3\n    }\n", "10.0.0.100/24 dev eth0\n",
		"file /run/kubectl-ha/apiserver\n    weight -160\n", "file /run/kubectl-ha/drain\n    weight -80\n",
		"file /run/kubectl-ha/holder\n    weight 40\n",
	} {
		if strings.Count(conf, want) != 1 {
			t.Errorf("the configuration does not have once:\n%s", want)
		}
	}
	if !ours([]byte(conf)) {
		t.Error("our own configuration is not known again")
	}
	s := testSpec()
	s.Peers = nil
	if conf := string(s.conf(place{"eth0", netip.MustParsePrefix("10.0.0.100/24")})); strings.Contains(conf, "    unicast_") {
		t.Error("unicast without a peer")
	}
}

// TestRealKeepalivedReadsTheConf lets the keepalived that the environment
// variable KEEPALIVED names check the configuration.
func TestRealKeepalivedReadsTheConf(t *testing.T) {
	binary := os.Getenv("KEEPALIVED")
	if binary == "" {
		t.Skip("KEEPALIVED does not name a keepalived binary")
	}
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(l net.Interface) bool { return l.Flags&net.FlagLoopback == 0 })
	if i < 0 {
		t.Skip("there is no interface but the loopback")
	}
	for _, vip := range []string{"10.0.0.100/24", "fd00::64/128"} {
		s := testSpec()
		if strings.HasPrefix(vip, "fd") {
			s.Address, s.Peers = "fd00::1", []string{"fd00::2"}
		}
		path := filepath.Join(t.TempDir(), "keepalived.conf")
		if err := os.WriteFile(path, s.conf(place{all[i].Name, netip.MustParsePrefix(vip)}), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(binary, "--config-test", "--use-file", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", vip, err, out)
		}
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*Spec)
		want  string
	}{
		{"good", func(*Spec) {}, ""},
		{"no address", func(s *Spec) { s.VirtualIP = "vip" }, "not an IP address"},
		{"own address", func(s *Spec) { s.VirtualIP = "10.0.0.1" }, "is the address of a control plane"},
		{"a peer's address", func(s *Spec) { s.VirtualIP = "10.0.0.2" }, "is the address of a control plane"},
		{"another family", func(s *Spec) { s.VirtualIP = "fd00::64" }, "not of the same family"},
		{"own peer", func(s *Spec) { s.Peers = []string{"10.0.0.1"} }, "among its own peers"},
		{"router id 0", func(s *Spec) { s.RouterID = 0 }, "routerID"},
		{"router id 256", func(s *Spec) { s.RouterID = 256 }, "routerID"},
		{"too fast", func(s *Spec) { s.AdvertisementMilliseconds = 5 }, "advertisementInterval"},
		{"odd interval", func(s *Spec) { s.AdvertisementMilliseconds = 205 }, "advertisementInterval"},
		{"priority too low", func(s *Spec) { s.Priority = 171 }, "priority"},
		{"priority too high", func(s *Spec) { s.Priority = 211 }, "priority"},
		{"no port", func(s *Spec) { s.APIServerPort = 0 }, "apiServerPort"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testSpec()
			tt.spoil(&s)
			err := s.validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("validate: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLocate(t *testing.T) {
	var all []link
	if err := json.Unmarshal([]byte(addresses), &all); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name                   string
		iface, address, vip    string
		want, prefix, errorHas string
	}{
		{"the one with the address", "", "10.0.0.1", "10.0.0.100", "eth0", "10.0.0.100/24", ""},
		{"IPv6 with its whole length", "", "fd00::1", "fd00::64", "eth0", "fd00::64/128", ""},
		{"a named one", "eth1", "10.0.0.1", "192.168.9.9", "eth1", "192.168.9.9/16", ""},
		{"outside", "", "10.0.0.1", "10.0.1.100", "", "", "outside of the subnet 10.0.0.0/24"},
		{"nobody's address", "", "10.9.9.9", "10.9.9.100", "", "", "no interface has the address 10.9.9.9"},
		{"no such interface", "eth7", "10.0.0.1", "10.0.0.100", "", "", "there is no interface eth7"},
		{"named, but another subnet", "eth1", "10.0.0.1", "10.0.0.100", "", "", "has no address in the subnet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at, err := Spec{Interface: tt.iface, Address: tt.address, VirtualIP: tt.vip}.locate(all)
			if tt.errorHas != "" {
				if err == nil || !strings.Contains(err.Error(), tt.errorHas) || host.Hint(err) == "" {
					t.Errorf("error %v, want %q and a hint", err, tt.errorHas)
				}
				return
			}
			if err != nil || at.Interface != tt.want || at.Prefix.String() != tt.prefix {
				t.Errorf("locate = %v, %v, want %s on %s", at, err, tt.prefix, tt.want)
			}
		})
	}
}
