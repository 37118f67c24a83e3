package netfilter

import (
	"slices"
	"strings"
)

// Undo makes of what iptables-save prints what iptables-restore --noflush takes to
// remove the rules and chains of Kubernetes; empty when there are none. It is for
// the kernel's older filter, which nftables does not show.
func Undo(saved string) string {
	var out strings.Builder
	var table string
	var chains, rules []string
	for line := range strings.Lines(saved) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "*"):
			table, chains, rules = line, nil, nil
		case strings.HasPrefix(line, ":"):
			if name, _, _ := strings.Cut(line[1:], " "); ours(name) {
				chains = append(chains, name)
			}
		case strings.HasPrefix(line, "-A "):
			fields := strings.Fields(line)
			if len(fields) > 1 && !ours(fields[1]) && jumps(fields) {
				rules = append(rules, "-D "+strings.TrimPrefix(line, "-A "))
			}
		case line == "COMMIT" && len(chains)+len(rules) > 0:
			lines := append([]string{table}, rules...)
			for _, verb := range []string{"-F ", "-X "} {
				for _, c := range chains {
					lines = append(lines, verb+c)
				}
			}
			out.WriteString(strings.Join(append(lines, "COMMIT"), "\n") + "\n")
		}
	}
	return out.String()
}

// jumps tells whether a rule leads into a chain of Kubernetes. The target comes
// after the matches, of which a comment may have any words; a chain of one's own
// has no options behind it.
func jumps(fields []string) bool {
	n := len(fields)
	return n > 2 && slices.Contains([]string{"-j", "-g"}, fields[n-2]) && ours(fields[n-1])
}
