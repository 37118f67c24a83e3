// Package access makes and checks ways into a cluster for people and programs.
package access

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
)

// ServerURL is the cluster's stable address.
func ServerURL(c *v1alpha1.Cluster) string { return "https://" + c.Endpoint() }

// VerifyAnyhow tries a kubeconfig from here and, when this machine does not
// reach its address, as a control plane would; far tells that it was so.
func VerifyAnyhow(ctx context.Context, content []byte, username string, through kubeconfig.Dial) (far bool, err error) {
	if through != nil && !kubeconfig.Reachable(ctx, content) {
		return true, kubeconfig.Verify(ctx, content, username, through)
	}
	return false, kubeconfig.Verify(ctx, content, username, nil)
}
