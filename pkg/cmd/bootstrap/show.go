package bootstrap

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// printPlan prints a dry run's outcome: the very plan that a run carries out.
func (o *options) printPlan(p plan.Plan) error {
	if !o.output.ForPrograms() {
		if err := cli.PrintPlan(o.Out, cli.StyleFor(o.Out), o.Cluster, p); err != nil {
			return err
		}
		_, err := fmt.Fprintf(o.Out, "Dry run: nothing was changed. %s to do.\n", report.Plural(len(p.Pending()), "step", "steps"))
		return err
	}
	out := map[string]any{"plan": append([]plan.Step{}, p.Steps...)}
	if len(p.Notes) > 0 {
		out["notes"] = p.Notes
	}
	return o.output.PrintLine(o.Out, out)
}

// summary tells what there is now, and what to do with it.
func (o *options) summary(r bootstrap.Result, took time.Duration) error {
	name, got := o.Cluster.Metadata.Name, r.Kubeconfig
	if o.output.ForPrograms() {
		return o.output.PrintLine(o.Out, map[string]any{"kind": "summary", "cluster": name, "server": r.Server,
			"changed": r.Changed, "kubeconfig": o.Kubeconfig, "expires": got.Expires, "elapsed": took.Seconds()})
	}
	var b strings.Builder
	state := "is ready"
	if !r.Changed {
		state = "is already complete, nothing was changed"
	}
	fmt.Fprintf(&b, "\nCluster %s %s, after %s: Kubernetes %s at %s.\n\n", name, state, report.Elapsed(took), o.Cluster.Spec.KubernetesVersion, r.Server)
	fmt.Fprintf(&b, "  export KUBECONFIG=%s\n", o.Kubeconfig)
	fmt.Fprintf(&b, "  kubectl get nodes\n  %s operation list\n\n", program.Name)
	if got.Identity != "" {
		fmt.Fprintf(&b, "The kubeconfig is for %s; it %s.\n", got.Identity, cli.Expiry(got.Expires))
	} else {
		fmt.Fprintf(&b, "The kubeconfig is unchanged; it %s.\n", cli.Expiry(got.Expires))
	}
	fmt.Fprintf(&b, "To create another one: %s kubeconfig --vip\n", program.Name)
	if got.Far {
		fmt.Fprintf(&b, "This machine cannot reach %s; the kubeconfig was tested from a control plane node.\n", o.Cluster.Endpoint())
	}
	if o.Cluster.Stacked() {
		fmt.Fprintf(&b, "What the cluster is known by on its hosts is in %s: keep a backup of it.\n", o.StateDir)
	} else {
		fmt.Fprintf(&b, "The only copy of the etcd CA key is in %s: keep a backup in a safe place.\n", o.StateDir)
	}
	_, err := fmt.Fprint(o.Out, b.String())
	return err
}

// printTimings shows where the time went, beside the output of -o json.
func (o *options) printTimings(r bootstrap.Result, recorder *report.Recorder) error {
	w := o.Out
	if o.output.ForPrograms() {
		w = o.ErrOut
	}
	after := map[string][]string{}
	for _, s := range r.Plan.Steps {
		after[s.ID] = s.After
	}
	if _, err := fmt.Fprintf(w, "\nhost checks: %.1fs, waiting for the bundle: %.1fs, steps: %.1fs\n",
		r.Observe.Seconds(), r.Bundle.Seconds(), r.Steps.Seconds()); err != nil {
		return err
	}
	return report.WriteTimings(w, recorder.Timings(after))
}
