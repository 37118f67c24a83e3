package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// renewOptions are a scheduled renewal's, in the CronJob's pod.
type renewOptions struct {
	genericiooptions.IOStreams
	agents   string
	chosen   v1alpha1.Agents
	life     time.Duration
	identity string
}

func newRenewCertificates(streams genericiooptions.IOStreams) *cobra.Command {
	o := &renewOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "renew-certificates --agents JSON",
		Short: "Renew the certificates of the cluster that are due",
		Args:  cli.NoArgs,
		RunE:  cli.InOrder(o),
	}
	c.Flags().StringVar(&o.agents, "agents", "", "the agents of all architectures, this one's first, as `JSON`")
	c.Flags().DurationVar(&o.life, "life-for-tests", 0, "validity of signed certificates")
	return c
}

// Complete finds out which pod this is.
func (o *renewOptions) Complete() (err error) {
	if o.identity = os.Getenv("POD_NAME"); o.identity == "" {
		o.identity, err = os.Hostname()
	}
	return err
}

// Validate reads what the CronJob sets.
func (o *renewOptions) Validate() error {
	if err := json.Unmarshal([]byte(o.agents), &o.chosen); err != nil || len(o.chosen) == 0 {
		return action.Invalidf("--agents is required, as the CronJob sets it")
	}
	return nil
}

// Run looks and renews.
func (o *renewOptions) Run(ctx context.Context) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("use the pod's service account: %w", err)
	}
	return renewal.Run(ctx, config, renewal.Options{Life: o.life, Options: schedule.Options{Agents: o.chosen, Identity: o.identity,
		Sink: report.Plain(o.Out, report.Style{ASCII: true, Clock: true})}})
}
