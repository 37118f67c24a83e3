package prepare

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// TestAnnounce: what others will make is noted before they run, with what is there
// already, and only once.
func TestAnnounce(t *testing.T) {
	b := newBench(t)
	b.file(host.SysctlPath("vm.overcommit_memory"), "0\n")
	b.file("/etc/cni/net.d/10-theirs.conflist", "theirs")
	if err := os.MkdirAll(b.root+"/var/lib/kubelet/lost+found", 0o700); err != nil {
		t.Fatal(err)
	}
	h, _, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := h.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]host.Made{}
	for _, m := range ledger.Made() {
		made[m.Kind+" "+m.Target] = m
	}
	for key, check := range map[string]func(host.Made) bool{
		"directory /var/lib/cni":                  func(m host.Made) bool { return m.Whole && m.Original == nil },
		"directory /var/lib/kubelet":              func(m host.Made) bool { return m.Whole && m.Original != nil },
		"empty-directory /lib/modules":            func(m host.Made) bool { return !m.Whole },
		"empty-directory /lib":                    func(m host.Made) bool { return !m.Whole },
		"file /etc/cni/net.d/10-flannel.conflist": func(m host.Made) bool { return m.Original == nil },
		"sysctl vm.overcommit_memory":             func(m host.Made) bool { return m.Set == "" && m.Original.State == "0" },
		"sysctl net.ipv4.ip_forward":              func(m host.Made) bool { return m.Set == "1" && m.Original.State == "0" },
		"unit " + networkOnline:                   func(m host.Made) bool { return m.Original.State == "static inactive" },
		KindNetfilter + " " + NetfilterTarget:     func(m host.Made) bool { return strings.Contains(m.Note, "ip nat PREROUTING") },
		KindAnnounced + " " + AnnouncedTarget:     func(host.Made) bool { return true },
		"file " + unitDir + kubeletUnit:           func(m host.Made) bool { return m.Original == nil },
	} {
		if m, ok := made[key]; !ok || !check(m) {
			t.Errorf("%s: %v %+v", key, ok, m)
		}
	}
	// Somebody else's network plugin is there.
	if _, ok := made["directory /etc/cni"]; ok {
		t.Error("/etc/cni is taken for ours")
	}
	// All of it stands before anything that needs it.
	order := ledger.Made()
	at := func(kind, target string) int {
		return slices.IndexFunc(order, func(m host.Made) bool { return m.Kind == kind && m.Target == target })
	}
	if at(KindAnnounced, AnnouncedTarget) > at(host.KindFile, unitDir+kubeletUnit) {
		t.Error("it was noted after the kubelet's unit")
	}
	entries := len(ledger.Entries())
	if h, _, err = b.run(); err != nil {
		t.Fatal(err)
	}
	again, err := h.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range again.Entries()[entries:] {
		if e.Action != host.ActionRemove && e.Kind != host.KindTask {
			t.Errorf("a second run notes %+v", e)
		}
	}
}

// TestAnnounceOnOldHost: who prepared a host before this was noted left nothing to be told from.
func TestAnnounceOnOldHost(t *testing.T) {
	b := newBench(t)
	h, _, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	path := h.Path(host.StateDir + "/ledger.jsonl")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var old []string
	for line := range strings.Lines(string(raw)) {
		if !strings.Contains(line, KindAnnounced) && !strings.Contains(line, "/var/lib/kubelet") {
			old = append(old, line)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(old, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, _, err = b.run(); err != nil {
		t.Fatal(err)
	}
	ledger, err := h.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	if ledger.Knows(KindAnnounced, AnnouncedTarget) || ledger.Knows(host.KindDirectory, "/var/lib/kubelet") {
		t.Error("it was noted afterwards")
	}
}
