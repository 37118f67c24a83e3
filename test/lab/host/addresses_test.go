package host

import (
	"net/netip"
	"strings"
	"testing"
)

func TestHostsHaveAddressesOfTheirOwn(t *testing.T) {
	size := Size{ControlPlanes: 9, Workers: 40, Etcd: 9}
	if err := size.Validate(); err != nil {
		t.Fatal(err)
	}
	list := hosts(3, size)
	if len(list) != 58 {
		t.Fatalf("%d hosts, want 58", len(list))
	}
	l := &Lab{Name: "x", Index: 3, Hosts: list}
	seen := map[string]bool{l.Gateway(): true, l.MirrorAddress(): true}
	names := map[string]bool{MirrorName: true}
	vip := netip.MustParseAddr(l.VirtualIP())
	for _, h := range list {
		a, err := netip.ParseAddr(h.Address)
		if err != nil || !Subnet(3).Contains(a) {
			t.Errorf("%s: address %s is not in %s (%v)", h.Name, h.Address, Subnet(3), err)
		}
		if !a.Less(vip) {
			t.Errorf("%s: address %s is in the range kept for virtual IPs", h.Name, h.Address)
		}
		if seen[h.Address] || names[h.Name] {
			t.Errorf("%s %s is there twice", h.Name, h.Address)
		}
		seen[h.Address], names[h.Name] = true, true
	}
	if list[0] != (Host{Name: "cp1", Role: RoleControlPlane, Address: "10.77.3.11"}) {
		t.Errorf("first host: %+v", list[0])
	}
}

func TestSizeValidate(t *testing.T) {
	for _, s := range []Size{{}, {ControlPlanes: 10}, {Workers: -1, ControlPlanes: 1}, {Etcd: 10}, {Workers: 41}} {
		if s.Validate() == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
	if err := (Size{Workers: 1}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestFreeIndex(t *testing.T) {
	prefixes := func(s ...string) []netip.Prefix {
		var list []netip.Prefix
		for _, p := range s {
			list = append(list, netip.MustParsePrefix(p))
		}
		return list
	}
	for _, c := range []struct {
		used []netip.Prefix
		want int
	}{
		{nil, 0},
		{prefixes("10.77.0.0/24", "10.77.2.0/24"), 1},
		{prefixes("172.17.0.0/16", "192.168.0.0/16", "fd00::/64"), 0},
		{prefixes("10.77.0.0/22"), 4},
		{prefixes("10.77.0.128/25", "10.77.1.7/32"), 2},
	} {
		got, err := freeIndex(c.used)
		if err != nil || got != c.want {
			t.Errorf("used %v: got %d, %v, want %d", c.used, got, err, c.want)
		}
	}
	if i, err := freeIndex(prefixes("10.0.0.0/8")); err == nil {
		t.Errorf("everything in use, and got index %d", i)
	}
}

func TestValidateName(t *testing.T) {
	for _, good := range []string{"lab", "a", "my-lab-2", strings.Repeat("a", 20)} {
		if err := ValidateName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "Lab", "2lab", "lab-", "-lab", "a_b", "../x", "a b", strings.Repeat("a", 21)} {
		if ValidateName(bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestCapabilities(t *testing.T) {
	// This mask lacks SYS_RESOURCE, number 24.
	names, err := capabilities("000001fffeffffff")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(names, " ")
	if strings.Contains(all, "SYS_RESOURCE") || !strings.Contains(all, "SYS_TIME") || len(names) != 37 {
		t.Errorf("%d: %s", len(names), all)
	}
	if _, err := capabilities("many"); err == nil {
		t.Error("a mask that is no number was accepted")
	}
	if names, _ := capabilities("0"); len(names) != 0 {
		t.Errorf("no capability, and got %v", names)
	}
}
