package netfilter

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestClean: in a network namespace of its own, what is Kubernetes' goes and
// everything else is as it was, to the letter of `nft list ruleset`.
func TestClean(t *testing.T) {
	const inside = "NETFILTER_TEST_NAMESPACE"
	if os.Getenv(inside) != "" {
		cleanInside(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("a network namespace of one's own is for root")
	}
	for _, program := range []string{"nft", "iptables-nft-restore"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not on this machine", program)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestClean$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func cleanInside(t *testing.T) {
	feed(t, "nft", []string{"-f", "-"}, `table inet mine {
	chain input {
		type filter hook input priority 0; policy accept;
		tcp dport 22 accept
	}
}
`)
	feed(t, "iptables-nft-restore", nil, "*nat\n:DOCKER -\n-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE\n-A OUTPUT -j DOCKER\nCOMMIT\n")
	before, err := Chains()
	if err != nil {
		t.Fatal(err)
	}
	rules := ruleset(t)

	feed(t, "iptables-nft-restore", []string{"--noflush"}, "*nat\n:KUBE-SERVICES -\n:KUBE-SVC-A -\n-A PREROUTING -m comment --comment portals -j KUBE-SERVICES\n"+
		"-A OUTPUT -j KUBE-SERVICES\n-A KUBE-SERVICES -d 10.96.0.1 -j KUBE-SVC-A\nCOMMIT\n"+
		"*filter\n:FLANNEL-FWD -\n-A FORWARD -j FLANNEL-FWD\n-A FLANNEL-FWD -j ACCEPT\nCOMMIT\n*mangle\n:KUBE-KUBELET-CANARY -\nCOMMIT\n")
	feed(t, "nft", []string{"-f", "-"}, "table ip6 kube-proxy {\n chain services {\n }\n}\n")
	dirty := ruleset(t)

	found, err := Clean(before, false)
	if err != nil || ruleset(t) != dirty {
		t.Fatalf("a look changed something: %v", err)
	}
	if len(found.Tables) != 1 || len(found.Chains) != 4 || found.Rules != 3 || !slices.Contains(found.Empty, "ip nat PREROUTING") {
		t.Errorf("found %+v", found)
	}
	if _, err := Clean(before, true); err != nil {
		t.Fatal(err)
	}
	if got := ruleset(t); got != rules {
		t.Errorf("left\n%s\nwant\n%s", got, rules)
	}
	if found, err := Clean(before, true); err != nil || !found.Nothing() {
		t.Errorf("again: %+v %v", found, err)
	}
}

func feed(t *testing.T, program string, args []string, in string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

func ruleset(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "ruleset").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
