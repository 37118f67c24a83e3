package incluster

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
)

// Manifests are what Create would make, for somebody else to apply: the Operation
// and its coordinator's Job. The name is made of the type and what is given, so that
// the same intent is the same object. Nothing is written to the cluster.
//
// Unlike with Create nobody has looked whether another Operation is in progress: its
// coordinator waits until there is none before it plans.
func (o *Operations) Manifests(ctx context.Context, spec v1alpha1.OperationSpec, name string) ([]*unstructured.Unstructured, error) {
	cluster, err := StoredCluster(ctx, o.clients.Kube)
	if err != nil {
		return nil, err
	}
	op := &v1alpha1.Operation{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.OperationKind},
		ObjectMeta: metav1.ObjectMeta{Name: strings.ToLower(string(spec.Type)) + "-" + strings.ReplaceAll(name, ".", "-")}, Spec: spec,
	}
	agents, err := o.agentsFor(ctx, spec)
	if err != nil {
		return nil, err
	}
	if err := op.SetAgents(agents); err != nil {
		return nil, err
	}
	job, err := coordinatorJob(op, cluster, agents)
	if err != nil {
		return nil, err
	}
	// Whose it is is known only once that is there.
	job.OwnerReferences = nil
	var out []*unstructured.Unstructured
	for _, object := range []any{op, job} {
		u, err := apply.Untyped(object)
		if err != nil {
			return nil, err
		}
		unstructured.RemoveNestedField(u.Object, "status")
		unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
		unstructured.RemoveNestedField(u.Object, "spec", "template", "metadata", "creationTimestamp")
		out = append(out, u)
	}
	return out, nil
}
