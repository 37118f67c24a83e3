package look

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

func (s *screen) etcd() {
	if len(s.r.Etcd) == 0 {
		return
	}
	rows := [][]string{{"ETCD", "ROLE", "VERSION", "DATABASE", "DEFRAG FREES", "LAG", "FSYNC P99"}}
	if s.wide {
		rows[0] = append(rows[0], "COMMIT P99", "ELECTIONS", "QUOTA", "ADDRESS")
	}
	for _, m := range s.r.Etcd {
		row := []string{s.mark(upness(m.Answers && m.Unwell == "")) + " " + m.Node, role(m), dash(m.Version), "-", "-", "-", "-"}
		if m.Measured {
			row = append(row[:3], size(m.DBBytes), size(m.FreeBytes), fmt.Sprint(m.Lag), millis(m.FsyncMillis))
			if m.SlowDisk() {
				row[6] = s.style.Doubtful(row[6])
			}
		}
		if s.wide {
			row = append(row, millis(m.CommitMillis), fmt.Sprint(m.Elections), size(m.QuotaBytes), m.Address)
		}
		rows = append(rows, row)
	}
	s.table(rows)
}

func role(m status.Member) string {
	switch {
	case !m.Answers:
		return "no answer"
	case m.Learner:
		return "learner"
	case m.Leader:
		return "leader"
	case m.Measured:
		return "follower"
	}
	return "answers"
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func millis(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return fmt.Sprintf("%.4g ms", ms)
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", n/1024)
}

func (s *screen) rest() {
	s.certificates()
	if d := s.r.DNS; d != nil {
		var where []string
		for _, n := range slices.Sorted(maps.Keys(d.Nodes)) {
			one := n
			if d.Nodes[n] > 1 {
				one = fmt.Sprintf("%s (%d)", n, d.Nodes[n])
			}
			where = append(where, one)
		}
		s.field("DNS", fmt.Sprintf("%d of %d CoreDNS pods ready, on %s", d.Ready, d.Wanted, dash(strings.Join(where, ", "))))
	}
	text := fmt.Sprintf("%d on the nodes", s.r.Images.Kinds)
	if missing := s.r.Images.Missing; len(missing) > 0 {
		text += "; control plane images missing on " + strings.Join(slices.Sorted(maps.Keys(missing)), ", ")
	}
	s.field("Images", text)
	s.operations()
	switch b := s.r.LastBackup; {
	case b == nil:
		s.field("Backup", "none recorded by an Operation")
	default:
		s.field("Backup", fmt.Sprintf("%s on %s, %s", b.Name, b.Node, s.ago(b.Made)))
	}
	s.b.WriteString("\n")
}

// certificates shows of each kind the days of the one that ends first, or all when wide.
func (s *screen) certificates() {
	all := slices.Clone(s.r.Certificates)
	if len(all) == 0 {
		s.field("Certificates", "none found")
		return
	}
	slices.SortStableFunc(all, func(a, b status.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	text := fmt.Sprintf("%d found; the first expires in %d days: %s", len(all), all[0].DaysLeft, s.of(all[0]))
	if kinds := firstOfKinds(all); len(kinds) > 1 && !s.wide {
		text += "; days left by type: " + strings.Join(kinds, ", ")
	}
	if !s.r.Inspected {
		text += "; --deep also reads the files"
	}
	s.field("Certificates", text)
	if !s.wide {
		return
	}
	for _, c := range all {
		s.line(fmt.Sprintf("              %5d days  %s", c.DaysLeft, s.of(c)))
	}
}

// firstOfKinds takes the first of each kind out of certificates in the order of their ends.
func firstOfKinds(all []status.Certificate) []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range all {
		if !seen[c.What] {
			seen[c.What] = true
			// A comma parts the kinds.
			out = append(out, fmt.Sprintf("%s %d", strings.ReplaceAll(c.What, ",", ""), c.DaysLeft))
		}
	}
	return out
}

func (s *screen) of(c status.Certificate) string {
	if c.Node == "" {
		return c.What
	}
	return c.What + " of " + c.Node
}

func (s *screen) operations() {
	if len(s.r.Operations) == 0 {
		s.field("Operations", "none")
	}
	for _, op := range s.r.Operations {
		text := fmt.Sprintf("%s %s", op.Name, strings.ToLower(op.Phase))
		if op.Finished {
			text = fmt.Sprintf("none running; the last, %s, %s %s", op.Name, strings.ToLower(op.Phase), s.ago(op.Since))
		} else if op.Progress != "" {
			text += ", step " + op.Progress + ": " + op.Message
		}
		s.field("Operations", text)
	}
}

// problems are told in full, wrapped instead of cut.
func (s *screen) problems() {
	room := width - 4
	if s.wide {
		room = 10000
	}
	for _, p := range s.r.Problems {
		for i, l := range wrap(p.Subject+": "+p.Message, room) {
			if i == 0 {
				s.line(s.mark(p.Severity) + " " + l)
			} else {
				s.line("    " + l)
			}
		}
		for _, l := range wrap(p.Next, room) {
			s.line("    " + s.style.Faint(l))
		}
	}
	for _, u := range s.r.Unseen {
		for _, l := range wrap("not checked: "+u, room) {
			s.line("  " + s.style.Faint(l))
		}
	}
}
