package bootstrap

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/access"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// printPlan prints a dry run's outcome: the very plan that a run carries out.
func (o *bootstrapOptions) printPlan(p plan.Plan) error {
	if o.output != cli.OutputJSON {
		if err := cli.PrintPlan(o.Out, cli.StyleFor(o.Out), o.cluster, p); err != nil {
			return err
		}
		_, err := fmt.Fprintf(o.Out, "A dry run: nothing was changed. %s to do.\n", report.Plural(len(p.Pending()), "step", "steps"))
		return err
	}
	steps := []cli.PlanStep{}
	for _, s := range p.Steps {
		steps = append(steps, cli.PlanStep{ID: s.ID, Title: s.Title, Host: s.Host, After: s.After, Skip: s.Skip})
	}
	return cli.WriteJSONLine(o.Out, map[string]any{"plan": steps})
}

// summary tells what there is now, and what to do with it.
func (o *bootstrapOptions) summary(r bootstrap.Result, got *issuedAccess, took time.Duration) error {
	name := o.cluster.Metadata.Name
	if o.output == cli.OutputJSON {
		return cli.WriteJSONLine(o.Out, map[string]any{"kind": "summary", "cluster": name, "server": access.ServerURL(o.cluster),
			"changed": r.Changed, "kubeconfig": o.kubeconfigOut, "expires": got.expires, "elapsed": took.Seconds()})
	}
	var b strings.Builder
	state := "is ready"
	if !r.Changed {
		state = "was complete, nothing was changed"
	}
	fmt.Fprintf(&b, "\nCluster %s %s, after %s: Kubernetes %s at %s.\n\n", name, state, report.Elapsed(took), o.cluster.Spec.KubernetesVersion, access.ServerURL(o.cluster))
	fmt.Fprintf(&b, "  export KUBECONFIG=%s\n", o.kubeconfigOut)
	fmt.Fprintf(&b, "  kubectl get nodes\n  %s operation list\n\n", program.Name)
	if got.identity != "" {
		fmt.Fprintf(&b, "The kubeconfig is for %s; it %s.\n", got.identity, cli.Expiry(got.expires))
	} else {
		fmt.Fprintf(&b, "The kubeconfig is as it was; it %s.\n", cli.Expiry(got.expires))
	}
	fmt.Fprintf(&b, "A new one, or one for somebody else: %s kubeconfig --vip\n", program.Name)
	if got.far {
		fmt.Fprintf(&b, "This machine does not reach %s by itself; the kubeconfig was tried from a control plane.\n", o.cluster.Endpoint())
	}
	fmt.Fprintf(&b, "The etcd CA's key is in %s and nowhere else: keep a copy in a safe place.\n", o.state)
	_, err := fmt.Fprint(o.Out, b.String())
	return err
}

// printTimings shows where the time went, beside the output of -o json.
func (o *bootstrapOptions) printTimings(r bootstrap.Result, recorder *report.Recorder) error {
	w := o.Out
	if o.output == cli.OutputJSON {
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
