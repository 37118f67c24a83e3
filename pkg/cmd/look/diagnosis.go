package look

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/diagnose"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/doctor"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// printDiagnosis prints a line a check, and below it what was found.
func printDiagnosis(w io.Writer, style report.Style, d *diagnose.Diagnosis) error {
	var b strings.Builder
	counts := map[doctor.State]int{}
	var skipped []string
	for _, c := range d.Checks {
		counts[c.State]++
		fmt.Fprintf(&b, "%s %s %s\n", stateMark(style, c.State), c.Title, style.Faint("("+c.ID+")"))
		for _, f := range c.Findings {
			where := ""
			if f.Node != "" {
				where = f.Node + ": "
			}
			indented(&b, "    ", where+f.Message)
			indented(&b, "      ", f.Hint)
		}
		if len(c.Findings) > 0 {
			indented(&b, "    ", fmt.Sprintf("Why: %s (%s)", c.Why, c.Source))
		}
		if c.Skipped != "" && !slices.Contains(skipped, c.Skipped) {
			skipped = append(skipped, c.Skipped)
		}
	}
	for _, u := range d.Unseen {
		indented(&b, "  ", "not checked: "+u)
	}
	fmt.Fprintf(&b, "\nCluster %s: %s, %s, %d passed", d.Cluster, report.Plural(counts[doctor.Problem], "problem", "problems"), report.Plural(counts[doctor.Warning], "warning", "warnings"), counts[doctor.OK])
	if n := counts[doctor.Skipped]; n > 0 {
		fmt.Fprintf(&b, ", %d not checked:", n)
	}
	b.WriteString("\n")
	for _, why := range skipped {
		indented(&b, "  ", why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func stateMark(style report.Style, s doctor.State) string {
	switch s {
	case doctor.OK:
		return style.Mark(report.StepDone)
	case doctor.Warning:
		return style.Mark(report.Warning)
	case doctor.Problem:
		return style.Mark(report.StepFailed)
	}
	return style.Mark(report.StepSkipped)
}

func indented(b *strings.Builder, indent, text string) {
	for _, l := range cli.Wrap(text, cli.HelpWidth-len(indent)) {
		b.WriteString(indent + l + "\n")
	}
}
