package adopt

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// nameOf is the document's name for kubeadm's clusterName, which may have anything in it, such as
// kubespray's cluster.local: a DNS label. Empty, for the default, where nothing of it is left. It
// is pure.
func nameOf(clusterName string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(clusterName))
	name = strings.TrimLeft(name, "-")
	return strings.TrimRight(name[:min(len(name), validation.DNS1123LabelMaxLength)], "-")
}

// named tells of a name that is not kubeadm's. The clusterName itself stays: kubeadm has it in
// kubeconfig files, and no command writes it.
func (o Observation) named(c *v1alpha1.Cluster) []report.Finding {
	if o.Kubeadm.ClusterName == "" || o.Kubeadm.ClusterName == c.Metadata.Name {
		return nil
	}
	return []report.Finding{finding(checkSettings, "", SeverityInfo, "", "kubeadm's clusterName is %s; the document calls the cluster %s, since a name has lower-case letters, digits and dashes. kubeadm's stays",
		o.Kubeadm.ClusterName, c.Metadata.Name)}
}
