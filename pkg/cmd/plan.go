package cmd

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// taskVIP looks at keepalived's settings on every run.
const taskVIP = tasks.VIP

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

// printPlan shows what is about to be done.
func printPlan(w io.Writer, style report.Style, c *v1alpha1.Cluster, p plan.Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nCluster %s: Kubernetes %s, API at %s, %s, %s, %s\n\n", c.Metadata.Name, c.Spec.KubernetesVersion, c.Endpoint(),
		report.Plural(len(c.ControlPlanes()), "control plane", "control planes"), report.Plural(len(c.EtcdMembers()), "etcd member", "etcd members"),
		report.Plural(len(c.Workers()), "worker", "workers"))
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
	return writeTrimmed(w, b.String())
}

// planStep is a step as -o json prints it.
type planStep struct {
	ID    string   `json:"id"`
	Title string   `json:"title"`
	Host  string   `json:"host,omitempty"`
	After []string `json:"after,omitempty"`
	Skip  string   `json:"skip,omitempty"`
}

// printPlan prints a dry run's outcome: the very plan that a run carries out.
func (o *bootstrapOptions) printPlan(p plan.Plan) error {
	if o.output != outputJSON {
		if err := printPlan(o.Out, styleFor(o.Out), o.cluster, p); err != nil {
			return err
		}
		_, err := fmt.Fprintf(o.Out, "A dry run: nothing was changed. %s to do.\n", report.Plural(len(p.Pending()), "step", "steps"))
		return err
	}
	steps := []planStep{}
	for _, s := range p.Steps {
		steps = append(steps, planStep{s.ID, s.Title, s.Host, s.After, s.Skip})
	}
	return writeJSONLine(o.Out, map[string]any{"plan": steps})
}

// summary tells what there is now, and what to do with it.
func (o *bootstrapOptions) summary(r bootstrap.Result, access *issuedAccess, took time.Duration) error {
	name := o.cluster.Metadata.Name
	if o.output == outputJSON {
		return writeJSONLine(o.Out, map[string]any{"kind": "summary", "cluster": name, "server": serverURL(o.cluster),
			"changed": r.Changed, "kubeconfig": o.kubeconfigOut, "expires": access.expires, "elapsed": took.Seconds()})
	}
	var b strings.Builder
	state := "is ready"
	if !r.Changed {
		state = "was complete, nothing was changed"
	}
	fmt.Fprintf(&b, "\nCluster %s %s, after %s: Kubernetes %s at %s.\n\n", name, state, report.Elapsed(took), o.cluster.Spec.KubernetesVersion, serverURL(o.cluster))
	fmt.Fprintf(&b, "  export KUBECONFIG=%s\n", o.kubeconfigOut)
	fmt.Fprintf(&b, "  kubectl get nodes\n  %s operation list\n\n", program.Name)
	if access.identity != "" {
		fmt.Fprintf(&b, "The kubeconfig is for %s; it %s.\n", access.identity, expiry(access.expires))
	} else {
		fmt.Fprintf(&b, "The kubeconfig is as it was; it %s.\n", expiry(access.expires))
	}
	fmt.Fprintf(&b, "A new one, or one for somebody else: %s kubeconfig --vip\n", program.Name)
	if access.far {
		fmt.Fprintf(&b, "This machine does not reach %s by itself; the kubeconfig was tried from a control plane.\n", o.cluster.Endpoint())
	}
	fmt.Fprintf(&b, "The etcd CA's key is in %s and nowhere else: keep a copy in a safe place.\n", o.state)
	_, err := fmt.Fprint(o.Out, b.String())
	return err
}

// printTimings shows where the time went, beside the output of -o json.
func (o *bootstrapOptions) printTimings(r bootstrap.Result, recorder *report.Recorder) error {
	w := o.Out
	if o.output == outputJSON {
		w = o.ErrOut
	}
	after := map[string][]string{}
	for _, s := range r.Plan.Steps {
		after[s.ID] = s.After
	}
	if _, err := fmt.Fprintf(w, "\nlooked at the hosts for %.1fs, waited for the bundle for %.1fs, carried out steps for %.1fs\n",
		r.Observe.Seconds(), r.Bundle.Seconds(), r.Steps.Seconds()); err != nil {
		return err
	}
	return report.WriteTimings(w, recorder.Timings(after))
}
