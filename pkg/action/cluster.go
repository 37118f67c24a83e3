package action

import "github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"

// SameCluster refuses a file that is not about the cluster that is connected to.
func SameCluster(file, stored *v1alpha1.Cluster) error {
	if file.Metadata.Name != stored.Metadata.Name || file.EndpointHost() != stored.EndpointHost() {
		return Invalidf("the Cluster file is for %s at %s, but your kubeconfig is for %s at %s: specify the right one with -f or --kubeconfig",
			file.Metadata.Name, file.Endpoint(), stored.Metadata.Name, stored.Endpoint())
	}
	return nil
}
