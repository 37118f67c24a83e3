package access

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
)

// ServerURL is the cluster's stable address.
func ServerURL(c *v1alpha1.Cluster) string { return "https://" + c.Endpoint() }

// verify tries a kubeconfig for what it is meant to be able to do: from here and, when this
// machine does not reach its address, as a control plane would; far tells that it was so.
func verify(ctx context.Context, content []byte, issued *kubeconfig.Issued, through kubeconfig.Dial) (far bool, err error) {
	try := kubeconfig.VerifyLogin
	if issued.Admin {
		try = kubeconfig.Verify
	}
	if through != nil && !kubeconfig.Reachable(ctx, content) {
		return true, try(ctx, content, issued.Username, through)
	}
	return false, try(ctx, content, issued.Username, nil)
}
