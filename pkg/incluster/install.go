package incluster

import (
	"context"
	"fmt"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/policy"
)

// Install brings the Operation resource, the namespace ha-system with the coordinator's rights
// and what bounds these, and the Cluster document into a cluster. Rights that an earlier version
// gave and this one does not are taken away. It returns
// what changed; doing it again changes nothing. These objects are kubectl-ha's
// alone: what somebody else changed in them is set right.
func Install(ctx context.Context, config *rest.Config, c *v1alpha1.Cluster) ([]apply.Changed, error) {
	clients, err := client.New(config)
	if err != nil {
		return nil, err
	}
	return install(ctx, clients, c)
}

func install(ctx context.Context, clients *client.Clients, c *v1alpha1.Cluster) ([]apply.Changed, error) {
	c, err := carried(ctx, clients.Kube, c)
	if err != nil {
		return nil, err
	}
	objects, err := systemObjects(c)
	if err != nil {
		return nil, err
	}
	rights, err := networkRights(ctx, clients.Kube, c)
	if err != nil {
		return nil, err
	}
	objects = append(objects, rights...)
	changed, err := apply.Apply(ctx, clients, objects, apply.Options{Force: true})
	if err != nil {
		return changed, fmt.Errorf("install kubectl-ha into the cluster: %w", err)
	}
	return changed, nil
}

// systemObjects begin with the policy: API servers need a moment to go by a new one, and the
// first coordinator is still to come.
func systemObjects(c *v1alpha1.Cluster) ([]*unstructured.Unstructured, error) {
	out, err := policy.Objects()
	if err != nil {
		return nil, err
	}
	for _, f := range []string{manifests.OperationCRD, manifests.System} {
		objects, err := apply.Load(manifests.FS, f)
		if err != nil {
			return nil, err
		}
		out = append(out, objects...)
	}
	stored, err := documentObjects(c)
	return append(out, stored...), err
}

// networkRights are what the coordinator may do about the network plugin, where that is
// flannel. They are in flannel's namespace, which is made before flannel is where there is none.
func networkRights(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) ([]*unstructured.Unstructured, error) {
	if c.Spec.Network.Plugin != v1alpha1.NetworkPluginFlannel {
		return nil, nil
	}
	rights, err := apply.Load(manifests.FS, manifests.FlannelRights)
	if err != nil {
		return nil, err
	}
	flannel, err := apply.Load(manifests.FS, manifests.Flannel)
	if err != nil {
		return nil, err
	}
	for _, u := range flannel {
		if u.GetKind() != "Namespace" {
			continue
		}
		_, err := kube.CoreV1().Namespaces().Get(ctx, u.GetName(), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			rights = append([]*unstructured.Unstructured{u}, rights...)
		case err != nil:
			return nil, fmt.Errorf("read namespace %s: %w", u.GetName(), err)
		}
	}
	return rights, nil
}

// documentObjects are what the Cluster document is stored in.
func documentObjects(c *v1alpha1.Cluster) ([]*unstructured.Unstructured, error) {
	stored, secret := document.Split(c)
	stored.Spec.Proxy.HTTPProxy = withoutLogin(stored.Spec.Proxy.HTTPProxy)
	stored.Spec.Proxy.HTTPSProxy = withoutLogin(stored.Spec.Proxy.HTTPSProxy)
	data, err := v1alpha1.Marshal(stored)
	if err != nil {
		return nil, err
	}
	objects := []any{&corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterConfigMap, Namespace: v1alpha1.SystemNamespace},
		Data:       map[string]string{v1alpha1.ClusterConfigMapKey: string(data)},
	}}
	if secret != nil {
		// First, so that there is no moment without it.
		objects = append([]any{secret}, objects...)
	}
	var out []*unstructured.Unstructured
	for _, object := range objects {
		u, err := apply.Untyped(object)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

// withoutLogin takes user and password out of a URL: a ConfigMap is no place for
// them, since whoever may look at the cluster may read it.
func withoutLogin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	u.User = nil
	return u.String()
}

// StoredCluster reads the Cluster document that Install stored, with its
// defaults set.
func StoredCluster(ctx context.Context, kube kubernetes.Interface) (*v1alpha1.Cluster, error) {
	return document.Read(ctx, kube)
}
