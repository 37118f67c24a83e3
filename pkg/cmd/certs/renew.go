package certs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// renewOptions renew certificates while they are in use.
type renewOptions struct {
	options
	// cron is --schedule's value, empty without that.
	cron string
	// csrDir takes certificate requests.
	csrDir string
}

func newRenew(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &renewOptions{options: options{IOStreams: streams, access: access}}
	c := &cobra.Command{
		Use:   "renew [NAME...]",
		Short: "Renew certificates while they are in use, node by node",
		Long: cli.Paragraphs(
			"Renews the certificates that are due: those with less than half of their validity left. Pass names to renew only these, or --all to renew every certificate. `certs status --deep` lists the names.",
			"It shows the plan and prompts. The hosts create the keys, and the etcd CA on this machine signs them. Then an Operation replaces the certificates node by node, and verifies that each is in use before it continues. Only controller-manager and scheduler are restarted. With -f, etcd members on hosts that are not nodes are renewed first, over SSH.",
			"Without the etcd CA on this machine, everything else is renewed, and the remaining certificates are listed.",
			"--schedule renews nothing now. It creates a CronJob in ha-system that looks every day, or as given, and renews what the kubeadm CAs have signed after two thirds of its validity. --schedule=off removes it. `certs status` shows it."),
		Example: cli.Examples(`
			# Only show what would be renewed
			kubectl ha certs renew -f cluster.yaml --dry-run

			kubectl ha certs renew -f cluster.yaml

			# Renew one kind of certificate on all hosts
			kubectl ha certs renew apiserver-etcd-client -f cluster.yaml --yes

			# The keys of CAs are kept elsewhere: provide them, or have requests signed there
			kubectl ha certs renew --ca-cert ca.crt --ca-key ca.key
			kubectl ha certs renew --csr-dir requests/
			kubectl ha certs renew --signed-dir requests/

			# Let the cluster renew what its own CAs sign, and stop that
			kubectl ha certs renew --schedule
			kubectl ha certs renew --schedule="0 2 * * 6"
			kubectl ha certs renew --schedule=off`),
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			o.action.Names = args
			if err := o.validate(); err != nil {
				return err
			}
			if err := o.complete(c.Context()); err != nil {
				return err
			}
			if err := o.readAuthority(); err != nil {
				return err
			}
			switch {
			case o.cron != "":
				return o.schedule(c.Context())
			case o.csrDir != "":
				return o.requests(c.Context())
			}
			return o.run(c.Context())
		},
		ValidArgs: certs.Names(),
	}
	o.addFlags(c)
	o.addLife(c)
	o.addAuthority(c)
	f := c.Flags()
	f.BoolVar(&o.action.All, "all", false, "renew every certificate, regardless of its expiry")
	f.StringVar(&o.cron, scheduleFlag, "", "let a CronJob renew what the kubeadm CAs sign, at `times` in cron syntax (default daily); \"off\" removes it")
	f.Lookup(scheduleFlag).NoOptDefVal = renewal.DefaultCron
	f.StringVar(&o.csrDir, "csr-dir", "", "write the certificate requests for CAs whose keys are elsewhere to this `directory`, and renew nothing")
	f.StringVar(&o.action.SignedDir, "signed-dir", "", "`directory` with certificates signed for these requests: HOST/NAME.crt")
	cli.AddDryRun(f, &o.action.DryRun, "only show the plan")
	cli.AddYes(f, &o.yes, "")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line, then the result"})
	return c
}

func (o *renewOptions) validate() error {
	if o.cron != "" {
		return o.checkSchedule()
	}
	if o.action.All && len(o.action.Names) > 0 {
		return action.Invalidf("--all and certificate names are mutually exclusive")
	}
	if o.csrDir != "" {
		if o.action.SignedDir != "" {
			return action.Invalidf("--csr-dir and --signed-dir are mutually exclusive: requests are written first, then signed, then used")
		}
		return nil
	}
	return o.checkPrompt()
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
		return o.confirm(ctx, shown, func() error { return o.show(p) }, "Renew them?")
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
	if o.output.ForPrograms() {
		return errors.Join(o.output.PrintLine(o.Out, r), err)
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
