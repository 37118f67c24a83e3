package host

import (
	"slices"
	"strings"
	"testing"
)

func TestNATNamesFit(t *testing.T) {
	l := &Lab{Name: "x", Index: 255, Hosts: hosts(255, Size{ControlPlanes: 9, Workers: 40, Etcd: 9})}
	seen := map[string]bool{l.natBridge(): true, l.bridge(): true}
	for _, h := range l.Hosts {
		a, err := l.natAddress(h)
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.natCable(a)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(a, "10.78.255.") || seen[a] || seen[c] || len(c) > 15 {
			t.Errorf("%s: %s, %s", h.Name, a, c)
		}
		seen[a], seen[c] = true, true
	}
	if len(l.natBridge()) > 15 {
		t.Errorf("%q is too long for an interface", l.natBridge())
	}
}

func TestNATSteps(t *testing.T) {
	l := &Lab{Name: "x", Index: 3}
	add, set, err := l.natSteps(4711, "10.78.3.21")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(add, " "); got != "ip link add name labn3-21 type veth peer name eth1 netns 4711" {
		t.Error(got)
	}
	var lines []string
	for _, argv := range set {
		lines = append(lines, strings.Join(argv, " "))
	}
	want := []string{
		"ip link set dev labn3-21 master labn77-3",
		"ip link set dev labn3-21 type bridge_slave isolated on",
		"nsenter --net=/proc/4711/ns/net ip address replace 10.78.3.21/24 dev eth1",
		"nsenter --net=/proc/4711/ns/net ip link set dev eth1 up",
		"nsenter --net=/proc/4711/ns/net ip route replace default via 10.78.3.1 dev eth1",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if _, _, err := l.natSteps(4711, "nowhere"); err == nil {
		t.Error("an address that is none was accepted")
	}
}
