package nodes

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/kubeadmconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
)

// fixKubeadmConfig notes in kubeadm's own configuration who the etcd members are, and
// which names the certificates of apiservers have: from there a control plane takes
// them that joins, or is upgraded.
func fixKubeadmConfig(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	var gone *v1alpha1.Host
	if spec := t.Operation.Spec.RemoveNode; spec != nil {
		gone = &v1alpha1.Host{Name: spec.Node, Address: spec.Address}
	}
	changed, err := kubeadmconfig.Change(ctx, t.Clients.Kube, ofHosts(result(t), gone))
	if err != nil || !changed {
		return engine.Outcome{}, err
	}
	return engine.Outcome{Message: fmt.Sprintf("%d etcd members", len(result(t).EtcdMembers()))}, nil
}

// ofHosts sets what depends on the hosts in kubeadm's ClusterConfiguration. It is pure.
func ofHosts(c *v1alpha1.Cluster, gone *v1alpha1.Host) func(kubeadmconfig.Fields) (bool, error) {
	return func(fields kubeadmconfig.Fields) (bool, error) {
		server := fields.Object("apiServer")
		before := server.Texts("certSANs")
		names := slices.Clone(before)
		if gone != nil {
			names = slices.DeleteFunc(names, func(s string) bool { return s == gone.Name || s == gone.Address && s != "" })
		}
		for _, s := range kubeadm.CertSANs(c) {
			if !slices.Contains(names, s) {
				names = append(names, s)
			}
		}
		server["certSANs"] = names
		changed := !slices.Equal(names, before)
		if c.Stacked() {
			return changed, nil // Who the members are etcd alone knows.
		}
		external := fields.Object("etcd").Object("external")
		endpoints := external.Texts("endpoints")
		if len(endpoints) == 0 {
			return false, errors.New("the ClusterConfiguration has no external etcd")
		}
		// kubeadm 1.36 and later write the same list down once more, for health checks; one
		// that somebody has made otherwise is theirs.
		if same := external.Texts("httpEndpoints"); same != nil && slices.Equal(same, endpoints) {
			external["httpEndpoints"] = c.EtcdEndpoints()
		}
		external["endpoints"] = c.EtcdEndpoints()
		return changed || !slices.Equal(c.EtcdEndpoints(), endpoints), nil
	}
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
