package agent

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
)

// renewOptions are a scheduled renewal's, in the CronJob's pod.
type renewOptions struct {
	scheduledOptions
	life time.Duration
}

func newRenewCertificates(streams genericiooptions.IOStreams) *cobra.Command {
	o := &renewOptions{scheduledOptions: scheduledOptions{IOStreams: streams}}
	c := &cobra.Command{
		Use:   "renew-certificates --agents JSON",
		Short: "Renew the certificates of the cluster that are due",
		Args:  cli.NoArgs,
		RunE:  cli.InOrder(o),
	}
	o.addFlags(c)
	c.Flags().DurationVar(&o.life, "life-for-tests", 0, "validity of signed certificates")
	return c
}

// Run looks and renews.
func (o *renewOptions) Run(ctx context.Context) error {
	config, options, err := o.options()
	if err != nil {
		return err
	}
	return renewal.Run(ctx, config, renewal.Options{Options: options, Life: o.life})
}
