package host

import (
	"reflect"
	"testing"
)

func TestBurst(t *testing.T) {
	for rate, want := range map[string]int{"1gbit": 1250000, "100mbit": 125000, "20mbit": 65536, "512kbit": 65536} {
		if got, err := burst(rate); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", rate, got, err, want)
		}
	}
	for _, bad := range []string{"", "fast", "100", "0mbit", "-1mbit", "1.5gbit", "100 mbit", "none", "99999999999999999999mbit"} {
		if got, err := burst(bad); err == nil {
			t.Errorf("%q was accepted: %d", bad, got)
		}
	}
}

func TestWithoutHosts(t *testing.T) {
	groups := [][]string{{"cp1", "cp2"}, {"w1"}}
	got := withoutHosts(groups, []string{"cp2", "w1"})
	if want := [][]string{{"cp1"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if want := [][]string{{"cp1", "cp2"}, {"w1"}}; !reflect.DeepEqual(groups, want) {
		t.Errorf("the argument was changed: %v", groups)
	}
	if got := withoutHosts(groups, []string{"cp1", "cp2", "w1"}); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestIslandBridgesDiffer(t *testing.T) {
	l := &Lab{Name: "x", Index: 255, Hosts: hosts(255, Size{ControlPlanes: 9, Workers: 40, Etcd: 9})}
	seen := map[string]string{}
	for _, n := range append([]string{MirrorName}, hostNames(l.Hosts)...) {
		b, err := l.islandBridge([]string{n})
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 15 {
			t.Errorf("%s: %q is too long for an interface", n, b)
		}
		if seen[b] != "" {
			t.Errorf("%s and %s share %s", n, seen[b], b)
		}
		seen[b] = n
	}
	a, _ := l.islandBridge([]string{"cp2", "w1"})
	b, _ := l.islandBridge([]string{"w1", "cp2"})
	if a != b {
		t.Errorf("one group, two bridges: %s, %s", a, b)
	}
	if _, err := l.islandBridge([]string{"nobody"}); err == nil {
		t.Error("a host that is not there was accepted")
	}
}

func TestPartitioned(t *testing.T) {
	l := &Lab{Partitions: [][]string{{"cp1"}, {"cp2", "w1"}}}
	for name, want := range map[string]bool{"cp1": true, "w1": true, "cp3": false} {
		if l.partitioned(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
