package certs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// rescueOptions bring a cluster back whose certificates have ended.
type rescueOptions struct {
	options
}

func newRescue(streams genericiooptions.IOStreams) *cobra.Command {
	o := &rescueOptions{options: options{IOStreams: streams}}
	c := &cobra.Command{
		Use:   "rescue [-f FILE]",
		Short: "Recover a cluster with expired certificates, over SSH",
		Long: cli.Paragraphs(
			"Use it if the API is down because certificates have expired, or for a host that was offline when its kubelet's client certificate expired (--host). It needs no API: it logs in to the hosts, renews what is due in the order that recovers a cluster (etcd members, control plane nodes, workers), and waits for each.",
			"It inspects the hosts first, shows what it will renew, and prompts. Certificates with more than half of their validity left are not touched. Unreachable hosts are listed; run the command again for them. The other hosts are not changed again."),
		Example: cli.Examples(`
			kubectl ha certs rescue -f cluster.yaml

			# A worker that was offline for long
			kubectl ha certs rescue -f cluster.yaml --host w3

			# The key of the etcd CA is kept elsewhere
			kubectl ha certs rescue -f cluster.yaml --ca-cert etcd-ca.crt --ca-key etcd-ca.key`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.checkPrompt(); err != nil {
				return err
			}
			if err := o.readFile(); err != nil {
				return err
			}
			if err := o.readAuthority(); err != nil {
				return err
			}
			return o.run(c.Context())
		},
	}
	cli.AddFileFlag(c, &o.file)
	o.addHostFlags(c)
	o.addLife(c)
	f := c.Flags()
	o.addAuthority(c)
	cli.AddDryRun(f, &o.action.DryRun, "only inspect the hosts, and show the plan")
	cli.AddYes(f, &o.yes, "")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line, then the result"})
	return c
}

func (o *rescueOptions) run(ctx context.Context) error {
	started := time.Now()
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	defer cli.TellInterrupted(ctx, shown)()
	o.warnOfLife(shown)
	leave, err := o.connect(ctx, shown, o.action.LoginsOfRescue)
	if err != nil {
		return err
	}
	defer leave()
	o.action.Confirm = func(ctx context.Context, p certs.Plan) error {
		return o.confirm(ctx, shown, func() error { return o.show(p) }, "Renew them, and restart the components that need it?")
	}
	r, err := certs.Rescue(ctx, o.action, shown)
	shown.Close()
	return o.finish(r, cli.Ended(ctx, action.OfHosts(err)), started)
}

// finish writes what was done. Exit codes do not depend on how that is written.
func (o *rescueOptions) finish(r certs.Result, err error, started time.Time) error {
	if o.output.ForPrograms() {
		return errors.Join(o.output.PrintLine(o.Out, r), err)
	}
	if o.action.DryRun && !r.Plan.Empty() {
		return errors.Join(o.show(r.Plan), err)
	}
	if err != nil {
		return err
	}
	n := 0
	for _, d := range r.Renewed {
		n += len(d.Renewed)
	}
	text := "Nothing was due.\n"
	if n > 0 {
		text = fmt.Sprintf("%s in use, after %s. Check the cluster with: kubectl ha status\n", report.Plural(n, "renewed certificate is", "renewed certificates are"), report.Elapsed(time.Since(started)))
	}
	_, err = fmt.Fprint(o.Out, text)
	return err
}
