package agent

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// coordinateOptions carry out one Operation, in the coordinator's pod.
type coordinateOptions struct {
	genericiooptions.IOStreams
	operation  string
	agentImage string
	identity   string
}

func newCoordinate(streams genericiooptions.IOStreams) *cobra.Command {
	o := &coordinateOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "coordinate --operation NAME --agent-image REF",
		Short: "Carry out an Operation, from inside the cluster",
		Args:  cli.NoArgs,
		RunE:  cli.InOrder(o),
	}
	c.Flags().StringVar(&o.operation, "operation", "", "the Operation's `name`")
	c.Flags().StringVar(&o.agentImage, "agent-image", "", "the image of the node Jobs")
	return c
}

// Complete finds out which pod this is.
func (o *coordinateOptions) Complete() (err error) {
	if o.identity = os.Getenv("POD_NAME"); o.identity == "" {
		o.identity, err = os.Hostname()
	}
	return err
}

// Validate asks for what the Job sets.
func (o *coordinateOptions) Validate() error {
	if o.operation == "" || o.agentImage == "" {
		return action.Invalidf("--operation and --agent-image are required")
	}
	return nil
}

// Run carries the Operation out to its end.
func (o *coordinateOptions) Run(ctx context.Context) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("use the pod's service account: %w", err)
	}
	return incluster.Coordinate(ctx, config, incluster.CoordinateOptions{
		Operation: o.operation, Identity: o.identity, AgentImage: o.agentImage,
		Sink: report.Plain(o.Out, report.Style{ASCII: true, Clock: true}),
	})
}
