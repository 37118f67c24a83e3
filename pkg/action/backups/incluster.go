package backups

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
)

// InCluster reaches the nodes of a cluster by Jobs, and asks its API for what is under way. Hosts
// that are no nodes are left out.
func InCluster(ctx context.Context, config *rest.Config, c *v1alpha1.Cluster) (Options, error) {
	o := Options{Cluster: c, On: c.Nodes()}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return o, err
	}
	usual, err := agents.Usual(ctx, config)
	if err != nil {
		return o, err
	}
	o.Hosts = agents.Jobs{Kube: kube, Agents: usual, For: "backup", Otherwise: ", or use -f to go over SSH"}
	ops, err := incluster.NewOperations(config, nil)
	if err != nil {
		return o, err
	}
	all, err := ops.List(ctx)
	if err != nil && !apierrors.IsNotFound(err) {
		return o, action.OfCluster(err)
	}
	o.Began = map[string]time.Time{}
	for _, op := range all {
		if (op.Spec.Type == v1alpha1.OperationUpgrade || op.Spec.Type == v1alpha1.OperationEtcd) && !through(op) {
			o.Began[op.Name] = op.CreationTimestamp.Time
		}
	}
	return o, nil
}

// through tells whether an upgrade needs its backup no longer: one that has failed or was aborted
// does, as long as no later one has succeeded, which is pruned with it.
func through(op v1alpha1.Operation) bool { return op.Status.Phase == v1alpha1.OperationSucceeded }

// InSecret is a target with the credentials of its Secret; a folder of the hosts has none.
func InSecret(ctx context.Context, config *rest.Config, c *v1alpha1.Cluster, text string) (*Target, error) {
	t, err := Named(c, text)
	if err != nil {
		return nil, err
	}
	name := t.SecretName
	if name == "" && t.Name != "" {
		name = "backup-" + t.Name
	}
	if name == "" || scheme(t.URL) == "file" {
		return toConfig(t, nil), nil
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	s, err := kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, action.Invalidf("the credentials of the target %s are missing: there is no Secret %s in the namespace %s\nnext: kubectl create secret generic %s --namespace %s --from-file=…, or --credentials FILE", text, name, v1alpha1.SystemNamespace, name, v1alpha1.SystemNamespace)
	}
	if err != nil {
		return nil, action.OfCluster(err)
	}
	values := map[string]string{}
	for k, v := range s.Data {
		values[k] = string(v)
	}
	return toConfig(t, values), nil
}
