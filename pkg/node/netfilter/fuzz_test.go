package netfilter

import (
	"strings"
	"testing"
)

// FuzzUndo: nothing but rules that lead to Kubernetes and its chains is removed, whatever
// is in the filter, and a table is always ended.
func FuzzUndo(f *testing.F) {
	for _, seed := range []string{"", "*filter\n:INPUT ACCEPT [0:0]\n:KUBE-FIREWALL - [0:0]\n-A INPUT -j KUBE-FIREWALL\n-A KUBE-FIREWALL -j DROP\nCOMMIT\n", "-A \n", ":\n", "*nat\n:KUBE-X\nCOMMIT", "COMMIT\n", "-A  -j KUBE-A\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, saved string) {
		undo := Undo(saved)
		if undo == "" {
			return
		}
		lines := strings.Split(strings.TrimSuffix(undo, "\n"), "\n")
		if lines[len(lines)-1] != "COMMIT" {
			t.Errorf("%q is not ended", undo)
		}
		for _, line := range lines {
			if name, ok := strings.CutPrefix(line, "-X "); ok && !ours(name) {
				t.Errorf("the chain %q is removed", name)
			}
		}
	})
}
