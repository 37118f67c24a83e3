package agent

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// scheduledOptions are those of every scheduled run, in its CronJob's pod.
type scheduledOptions struct {
	genericiooptions.IOStreams
	agents   string
	chosen   v1alpha1.Agents
	identity string
}

func (o *scheduledOptions) addFlags(c *cobra.Command) {
	c.Flags().StringVar(&o.agents, "agents", "", "the agents of all architectures, this one's first, as `JSON`")
}

// Complete finds out which pod this is.
func (o *scheduledOptions) Complete() (err error) {
	if o.identity = os.Getenv("POD_NAME"); o.identity == "" {
		o.identity, err = os.Hostname()
	}
	return err
}

// Validate reads what the CronJob sets.
func (o *scheduledOptions) Validate() error {
	if err := json.Unmarshal([]byte(o.agents), &o.chosen); err != nil || len(o.chosen) == 0 {
		return action.Invalidf("--agents is required, as the CronJob sets it")
	}
	return nil
}

// options are what a run takes, and its way to the API.
func (o *scheduledOptions) options() (*rest.Config, schedule.Options, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, schedule.Options{}, fmt.Errorf("use the pod's service account: %w", err)
	}
	return config, schedule.Options{Agents: o.chosen, Identity: o.identity, Sink: report.Plain(o.Out, report.Style{ASCII: true, Clock: true})}, nil
}
