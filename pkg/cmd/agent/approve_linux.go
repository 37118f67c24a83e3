package agent

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/approver"
)

// newApprove is what the addon kubelet-certificates runs in the cluster.
func newApprove(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "approve-csrs",
		Short: "Approve serving certificates of kubelets, for their own addresses",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := rest.InClusterConfig()
			if err != nil {
				return fmt.Errorf("use the pod's service account: %w", err)
			}
			kube, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			cluster := func(ctx context.Context) (*v1alpha1.Cluster, error) { return incluster.StoredCluster(ctx, kube) }
			// A log that nobody takes is no reason to stop.
			log := func(line string) { _, _ = fmt.Fprintln(streams.Out, line) }
			return approver.Run(c.Context(), kube, approver.Options{Cluster: cluster, Log: log})
		},
	}
}
