package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// planLine is one line of a plan for people: the same step on several hosts.
type planLine struct {
	title, skip string
	hosts       []string
}

// planLines puts the same steps of several hosts together.
func planLines(p plan.Plan) []planLine {
	var out []planLine
next:
	for _, s := range p.Steps {
		host := s.Host
		if host == "" {
			host = "the cluster"
		}
		for i := range out {
			if out[i].title == s.Title && out[i].skip == s.Skip {
				out[i].hosts = append(out[i].hosts, host)
				continue next
			}
		}
		out = append(out, planLine{s.Title, s.Skip, []string{host}})
	}
	return out
}

// PrintPlan shows what is about to be done.
func PrintPlan(w io.Writer, style report.Style, c *v1alpha1.Cluster, p plan.Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nCluster %s: Kubernetes %s, API at %s, %s, %s, %s\n\n", c.Metadata.Name, c.Spec.KubernetesVersion, c.Endpoint(),
		report.Plural(len(c.ControlPlanes()), "control plane", "control planes"), report.Plural(len(c.EtcdMembers()), "etcd member", "etcd members"),
		report.Plural(len(c.Workers()), "worker", "workers"))
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	if len(p.Notes) > 0 {
		b.WriteString("\n")
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, l := range planLines(p) {
		sign, note := "+", ""
		if style.ASCII {
			sign = "+ " // as wide as the other signs
		}
		if l.skip != "" {
			sign, note = style.Mark(report.StepSkipped), l.skip
		}
		// Into memory, which does not fail.
		_, _ = fmt.Fprintf(t, "  %s %s\t%s\t%s\n", sign, l.title, strings.Join(l.hosts, " "), note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteString("\n")
	return WriteTrimmed(w, b.String())
}
