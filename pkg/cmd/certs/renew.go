package certs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// renewOptions renew certificates while they are in use.
type renewOptions struct {
	options
	yes bool
}

func newRenew(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &renewOptions{options: options{IOStreams: streams, access: access}}
	c := &cobra.Command{
		Use:   "renew [NAME...]",
		Short: "Renew certificates while they are in use, node by node",
		Long: cli.Paragraphs(
			"Renews the certificates that are due: those of which less than half of their life is left. With names only these, with --all every one. The names are those that `certs status --deep` gives.",
			"It shows the plan, asks, has etcd's CA on this machine sign for keys that the hosts make, and has an Operation exchange each certificate in the cluster: one node after the other, each seen at work with the new one before the next. Nothing but controller-manager and scheduler is restarted. etcd members on hosts that are no nodes are renewed over SSH first, with -f.",
			"Without etcd's CA on this machine everything else is renewed, and what was left is named."),
		Example: cli.Examples(`
			# What would be renewed
			kubectl ha certs renew -f cluster.yaml --dry-run

			kubectl ha certs renew -f cluster.yaml

			# One kind, on all hosts
			kubectl ha certs renew apiserver-etcd-client -f cluster.yaml --yes`),
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			o.action.Names = args
			if err := o.validate(); err != nil {
				return err
			}
			if err := o.complete(c.Context()); err != nil {
				return err
			}
			return o.run(c.Context())
		},
		ValidArgs: certs.Names(),
	}
	o.addFlags(c)
	o.addLife(c)
	f := c.Flags()
	f.BoolVar(&o.action.All, "all", false, "renew every certificate, whatever is left of its life")
	cli.AddDryRun(f, &o.action.DryRun, "show the plan, and end")
	cli.AddYes(f, &o.yes, "")
	f.StringVarP(&o.output, "output", "o", "", "text (default), or json: an event per line, then what was done")
	return c
}

func (o *renewOptions) validate() error {
	if err := cli.CheckOutput(o.output); err != nil {
		return err
	}
	if o.action.All && len(o.action.Names) > 0 {
		return action.Invalidf("--all and names of certificates exclude each other")
	}
	if !o.yes && !o.action.DryRun && o.output == cli.OutputJSON {
		return action.Invalidf("-o json asks nothing: add --yes, or --dry-run to see the plan")
	}
	if !o.yes && !o.action.DryRun {
		return cli.Askable(o.In)
	}
	return nil
}

func (o *renewOptions) run(ctx context.Context) error {
	started := time.Now()
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	defer cli.TellInterrupted(ctx, shown)()
	o.warnOfLife(shown)
	leave, err := o.connect(ctx, shown, o.action.LoginsInUse)
	if err != nil {
		return err
	}
	defer leave()
	o.action.Confirm = func(ctx context.Context, p certs.Plan) error {
		if o.output == cli.OutputJSON {
			return nil
		}
		shown.Close()
		defer shown.Open()
		if err := o.show(p); err != nil || o.yes {
			return err
		}
		return cli.Confirm(ctx, o.In, o.Out, "Renew them?")
	}
	r, err := certs.Renew(ctx, o.action, shown)
	shown.Close()
	return o.finish(r, err, started)
}

// finish writes what was done. Exit codes do not depend on how that is written.
func (o *renewOptions) finish(r certs.Result, err error, started time.Time) error {
	if err == nil {
		err = r.Plan.Due()
	}
	if o.output == cli.OutputJSON {
		return errors.Join(cli.WriteJSONLine(o.Out, r), err)
	}
	switch {
	case err != nil:
		return err
	case o.action.DryRun && !r.Plan.Empty():
		return o.show(r.Plan)
	case r.Plan.Empty():
		_, err := fmt.Fprintln(o.Out, "No certificate is due. --all renews them all the same.")
		return err
	}
	_, err = fmt.Fprintf(o.Out, "The certificates are renewed, after %s.\n", report.Elapsed(time.Since(started)))
	return err
}

// show prints a plan, but for what is left, of which Renew has warned.
func (o *renewOptions) show(p certs.Plan) error {
	var b strings.Builder
	b.WriteString("To be renewed, in this order:\n")
	part := func(n v1alpha1.NodeCertificates, way string) {
		fmt.Fprintf(&b, "  %s (%s): %s\n", n.Name, way, strings.Join(append(append([]string{}, n.Signed...), n.Local...), ", "))
	}
	for _, h := range p.Hosts {
		part(h, "over SSH")
	}
	for _, a := range p.Addons {
		fmt.Fprintf(&b, "  secret %s\n", a)
	}
	for _, n := range p.Nodes {
		part(n, "by an Operation")
	}
	_, err := fmt.Fprint(o.Out, b.String())
	return err
}
