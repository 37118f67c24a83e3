package look

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// width is the longest line, in columns; -o wide may have longer ones.
const width = 100

// render is the report for people: lines of at most a hundred columns, and longer
// ones when wide.
func render(r status.Report, style report.Style, wide bool) string {
	s := &screen{r: r, style: style, wide: wide}
	s.head()
	s.api()
	s.controlPlanes()
	s.etcd()
	s.nodes()
	s.rest()
	s.problems()
	return s.b.String()
}

// screen collects lines.
type screen struct {
	r     status.Report
	style report.Style
	wide  bool
	b     strings.Builder
}

func (s *screen) line(text string) {
	if !s.wide {
		text = cut(text, width)
	}
	s.b.WriteString(strings.TrimRight(text, " ") + "\n")
}

// field is a line with what it is about in front; what is too long goes on below.
func (s *screen) field(name, text string) {
	const indent = 14
	room := width - indent
	if s.wide {
		room = 10000
	}
	for i, l := range wrap(text, room) {
		head := strings.Repeat(" ", indent)
		if i == 0 {
			head = s.style.Heading(name) + strings.Repeat(" ", max(1, indent-len(name)))
		}
		s.line(head + l)
	}
}

func (s *screen) mark(h status.Health) string {
	switch h {
	case status.Healthy:
		return s.style.Mark(report.StepDone)
	case status.Degraded:
		return s.style.Mark(report.Warning)
	}
	return s.style.Mark(report.StepFailed)
}

func (s *screen) verdict(h status.Health) string {
	switch h {
	case status.Healthy:
		return s.style.Good(string(h))
	case status.Degraded:
		return s.style.Doubtful(string(h))
	}
	return s.style.Bad(string(h))
}

// table prints cells in columns as wide as their longest cell.
func (s *screen) table(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columns(cell))
		}
	}
	for n, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-columns(cell)+2)
			if n == 0 {
				cell = s.style.Heading(cell)
			}
			line.WriteString(cell + pad)
		}
		s.line(line.String())
	}
	s.b.WriteString("\n")
}

func (s *screen) head() {
	r := s.r
	title := "Cluster " + s.style.Heading(r.Cluster)
	if r.Version != "" {
		title += ", Kubernetes " + r.Version
	}
	s.line(fmt.Sprintf("%s %s: %s   %s", s.mark(r.Health), title, s.verdict(r.Health), s.style.Faint(r.Time.Format("2006-01-02 15:04:05 UTC"))))
	s.b.WriteString("\n")
}

func (s *screen) api() {
	a := s.r.API
	text := a.Endpoint
	switch {
	case a.Holder != "" && a.Others && a.VirtualIP == "":
		// Behind a name or a load balancer the next answer may be another one's.
		text += ", answered by " + a.Holder
	case a.Holder != "":
		text += ", held by " + a.Holder
		if a.Since != nil {
			text += " for " + duration.HumanDuration(s.r.Time.Sub(*a.Since))
		}
	case a.Unreached != "":
		text += ", not reachable from here"
	case len(s.r.ControlPlanes) > 0:
		text += ", holder unknown from here"
	}
	if len(a.Could) > 0 {
		text += "; standby: " + strings.Join(a.Could, ", ")
	}
	answering := 0
	for _, cp := range s.r.ControlPlanes {
		if cp.APIServer.Healthy {
			answering++
		}
	}
	if n := len(s.r.ControlPlanes); answering < n {
		text += fmt.Sprintf("; %d of %d apiservers respond", answering, n)
	}
	if a.Asked != a.Endpoint {
		text += "; seen through " + a.Asked
	}
	s.field("API", text)
	switch lb := s.r.LoadBalancer; {
	case lb == nil:
		s.field("Balancer", "none at the load balancer's port")
	default:
		var parts []string
		for _, b := range lb.Backends {
			parts = append(parts, s.mark(upness(b.Up))+" "+b.Node)
		}
		s.field("Balancer", fmt.Sprintf("%s at %s: %s", lb.Type, lb.Address, strings.Join(parts, "  ")))
	}
	s.b.WriteString("\n")
}

func upness(up bool) status.Health {
	if up {
		return status.Healthy
	}
	return status.Broken
}

func (s *screen) controlPlanes() {
	if len(s.r.ControlPlanes) == 0 {
		return
	}
	rows := [][]string{{"CONTROL PLANE", "APISERVER", "CONTROLLER-MANAGER", "SCHEDULER"}}
	if s.wide {
		rows[0] = append(rows[0], "ADDRESS")
	}
	for _, cp := range s.r.ControlPlanes {
		name := cp.Node
		if name == s.r.API.Holder && s.r.API.VirtualIP != "" {
			name += " (VIP)"
		}
		row := []string{name, s.component(cp.APIServer), s.component(cp.ControllerManager), s.component(cp.Scheduler)}
		if s.wide {
			row = append(row, cp.Address)
		}
		rows = append(rows, row)
	}
	s.table(rows)
}

func (s *screen) component(c status.Component) string {
	text := s.mark(upness(c.Healthy))
	if c.Unseen {
		text = s.style.Faint("?")
	}
	if c.Version != "" {
		text += " " + c.Version
	}
	if c.Healthy && c.Milliseconds > 0 && (s.wide || !c.Leader) {
		text += " " + s.style.Faint(fmt.Sprintf("%d ms", c.Milliseconds))
	}
	if c.Leader {
		text += " leader"
	}
	if !c.Healthy {
		text += " " + s.brief(c.Error, 18)
	}
	return text
}

// brief cuts a reason that stands with the problems in full.
func (s *screen) brief(text string, room int) string {
	if s.wide {
		return text
	}
	return cut(text, room)
}

func (s *screen) nodes() {
	rows := [][]string{{"NODE", "ROLE", "KUBELET", "STATE"}}
	if s.wide {
		rows[0] = append(rows[0], "ADDRESS", "OS", "RUNTIME")
	}
	for _, n := range s.r.Nodes {
		role, state := "worker", s.mark(status.Healthy)+" ready"
		if n.ControlPlane {
			role = "control plane"
		}
		if n.NotReady != "" {
			state = s.mark(status.Broken) + " " + s.brief(n.NotReady, 50)
		}
		if n.Cordoned {
			state += ", cordoned"
		}
		for _, p := range n.Pressure {
			state += ", " + p
		}
		row := []string{n.Name, role, n.Version, state}
		if s.wide {
			row = append(row, n.Address, n.OS, n.Runtime)
		}
		rows = append(rows, row)
	}
	if len(s.r.Nodes) > 0 {
		s.table(s.fold(rows))
	}
}

// fold leaves out workers that are well when there are many, so that a screen is enough.
func (s *screen) fold(rows [][]string) [][]string {
	const most = 12
	if s.wide || len(rows)-1 <= most {
		return rows
	}
	out, left := rows[:1], map[string]int{}
	well := s.mark(status.Healthy) + " ready"
	for _, row := range rows[1:] {
		if row[1] == "worker" && row[3] == well {
			left[row[2]]++
			continue
		}
		out = append(out, row)
	}
	for _, version := range slices.Sorted(maps.Keys(left)) {
		out = append(out, []string{fmt.Sprintf("%d more", left[version]), "worker", version, well})
	}
	return out
}

// ago is the age of something.
func (s *screen) ago(t time.Time) string { return duration.HumanDuration(s.r.Time.Sub(t)) + " ago" }
