package adopt

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/adopt"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// show tells what was found, and what each command will do about it. It goes to where questions
// go: what is on the standard output is the document alone.
func (o *options) show(p *adopt.Plan) error {
	var b strings.Builder
	if len(p.Findings) > 0 {
		b.WriteString("\nFound:\n")
	}
	var more []report.Finding
	for _, f := range p.Findings {
		if f.Severity == report.SeverityError || f.Severity == report.SeverityWarning {
			more = append(more, f)
			continue
		}
		where := ""
		if f.Node != "" {
			where = f.Node + ": "
		}
		fmt.Fprintf(&b, "  %s%s\n", where, f.Message)
	}
	if err := cli.WriteTrimmed(o.ErrOut, b.String()); err != nil {
		return err
	}
	if err := cli.PrintFindings(o.ErrOut, cli.StyleFor(o.ErrOut), more); err != nil {
		return err
	}
	return cli.WriteTrimmed(o.ErrOut, verbs(p))
}

// verbs is the table of commands.
func verbs(p *adopt.Plan) string {
	if len(p.Verbs) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nThe endpoint is not kubectl ha's. What commands will do:\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, v := range p.Verbs {
		// Into memory, which does not fail.
		_, _ = fmt.Fprintf(t, "  %s\t%s\n", v.Command, v.Does)
	}
	_ = t.Flush() // As above.
	b.WriteString("\nNothing of the cluster's own is changed by adopt.\n")
	return b.String()
}
