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
			"Renews the certificates that are due: those with less than half of their validity left. Pass names to renew only these, or --all to renew every certificate. `certs status --deep` lists the names.",
			"It shows the plan and prompts. The hosts create the keys, and the etcd CA on this machine signs them. Then an Operation replaces the certificates node by node, and verifies that each is in use before it continues. Only controller-manager and scheduler are restarted. With -f, etcd members on hosts that are not nodes are renewed first, over SSH.",
			"Without the etcd CA on this machine, everything else is renewed, and the remaining certificates are listed."),
		Example: cli.Examples(`
			# Only show what would be renewed
			kubectl ha certs renew -f cluster.yaml --dry-run

			kubectl ha certs renew -f cluster.yaml

			# Renew one kind of certificate on all hosts
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
	f.BoolVar(&o.action.All, "all", false, "renew every certificate, regardless of its expiry")
	cli.AddDryRun(f, &o.action.DryRun, "only show the plan")
	cli.AddYes(f, &o.yes, "")
	f.StringVarP(&o.output, "output", "o", "", "text (default) or json (one event per line, then the result)")
	return c
}

func (o *renewOptions) validate() error {
	if err := cli.CheckOutput(o.output); err != nil {
		return err
	}
	if o.action.All && len(o.action.Names) > 0 {
		return action.Invalidf("--all and certificate names are mutually exclusive")
	}
	if !o.yes && !o.action.DryRun && o.output == cli.OutputJSON {
		return action.Invalidf("cannot prompt with -o json; use --yes, or --dry-run to see the plan")
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
		_, err := fmt.Fprintln(o.Out, "No certificate is due. Use --all to renew all certificates anyway.")
		return err
	}
	_, err = fmt.Fprintf(o.Out, "The certificates were renewed in %s.\n", report.Elapsed(time.Since(started)))
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
