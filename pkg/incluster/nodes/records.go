package nodes

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
)

const (
	kubeadmConfig    = "kubeadm-config"
	kubeadmConfigKey = "ClusterConfiguration"
)

// fixKubeadmConfig notes in kubeadm's own configuration who the etcd members are, and
// which names the certificates of apiservers have: from there a control plane takes
// them that joins, or is upgraded.
func fixKubeadmConfig(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	api := t.Clients.Kube.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	m, err := api.Get(ctx, kubeadmConfig, metav1.GetOptions{})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("read kube-system/%s: %w", kubeadmConfig, err)
	}
	var gone *v1alpha1.Host
	if spec := t.Operation.Spec.RemoveNode; spec != nil {
		gone = &v1alpha1.Host{Name: spec.Node, Address: spec.Address}
	}
	text, changed, err := clusterConfiguration(m.Data[kubeadmConfigKey], result(t), gone)
	if err != nil || !changed {
		return engine.Outcome{}, err
	}
	m.Data[kubeadmConfigKey] = text
	if _, err := api.Update(ctx, m, metav1.UpdateOptions{FieldManager: apply.FieldManager}); err != nil {
		return engine.Outcome{}, fmt.Errorf("write kube-system/%s: %w", kubeadmConfig, err)
	}
	return engine.Outcome{Message: fmt.Sprintf("%d etcd members", len(result(t).EtcdMembers()))}, nil
}

// clusterConfiguration sets what depends on the hosts in kubeadm's ClusterConfiguration,
// and leaves all else as it is. It is pure.
func clusterConfiguration(text string, c *v1alpha1.Cluster, gone *v1alpha1.Host) (string, bool, error) {
	fields := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &fields); err != nil {
		return "", false, fmt.Errorf("kube-system/%s: the ClusterConfiguration can't be read: %w", kubeadmConfig, err)
	}
	etcd, _ := fields["etcd"].(map[string]any)
	external, _ := etcd["external"].(map[string]any)
	if external == nil {
		return "", false, fmt.Errorf("kube-system/%s: the ClusterConfiguration has no external etcd", kubeadmConfig)
	}
	server, _ := fields["apiServer"].(map[string]any)
	if server == nil {
		server = map[string]any{}
		fields["apiServer"] = server
	}
	names := texts(server["certSANs"])
	if gone != nil {
		names = slices.DeleteFunc(names, func(s string) bool { return s == gone.Name || s == gone.Address && s != "" })
	}
	for _, s := range kubeadm.CertSANs(c) {
		if !slices.Contains(names, s) {
			names = append(names, s)
		}
	}
	changed := !slices.Equal(names, texts(server["certSANs"])) || !slices.Equal(c.EtcdEndpoints(), texts(external["endpoints"]))
	// kubeadm 1.36 and later write the same list down once more, for health checks; one
	// that somebody has made otherwise is theirs.
	if same := texts(external["httpEndpoints"]); same != nil && slices.Equal(same, texts(external["endpoints"])) {
		external["httpEndpoints"] = c.EtcdEndpoints()
	}
	external["endpoints"], server["certSANs"] = c.EtcdEndpoints(), names
	out, err := yaml.Marshal(fields)
	return string(out), changed, err
}

func texts(list any) []string {
	all, _ := list.([]any)
	var out []string
	for _, x := range all {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// deleteNode deletes the node; its pods go with it.
func deleteNode(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	name := t.Operation.Spec.RemoveNode.Node
	err := t.Clients.Kube.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return engine.Outcome{}, fmt.Errorf("delete node %s: %w", name, err)
	}
	return engine.Outcome{}, nil
}

// forget takes the host out of the stored Cluster document.
func forget(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	name := t.Operation.Spec.RemoveNode.Node
	changed, err := document.Change(ctx, t.Clients.Kube, func(c *v1alpha1.Cluster) *v1alpha1.Cluster {
		if _, listed := c.Host(name); !listed {
			return nil
		}
		return Without(c, name)
	})
	if err != nil {
		return engine.Outcome{}, err
	}
	if !changed {
		return engine.Outcome{Message: "it is not in it"}, nil
	}
	return engine.Outcome{Message: "take it out of your Cluster file as well"}, nil
}
