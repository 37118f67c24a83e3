// Package clusterfile writes Cluster files: new ones, and those that inventories become.
package clusterfile

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// New is a commented Cluster file with every setting there is; what is not given is an example,
// and the name one of its own. Values of which no valid file can be made are action.Invalid.
func New(p v1alpha1.TemplateParams) ([]byte, error) {
	if p.Name == "" {
		// Clusters that share a name are taken for one another by people, and in kubeconfig files.
		p.Name = "ha-" + rand.String(5)
	}
	if len(p.Hosts) > 0 && !slices.ContainsFunc(p.Hosts, func(h v1alpha1.Host) bool { return h.Has(v1alpha1.RoleControlPlane) }) {
		return nil, action.Invalidf("--worker and --etcd require at least one --control-plane")
	}
	data, err := v1alpha1.Template(p)
	if err != nil {
		return nil, err
	}
	if _, _, err := v1alpha1.Load(data, ""); err != nil {
		return nil, action.Invalidf("these values do not make a valid Cluster file:\n%w", err)
	}
	return data, nil
}
