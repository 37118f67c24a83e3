package policy

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Look says what is wrong with a cluster's policy, empty when it is this program's, and whether
// one is in force all the same: that of another version, or one that somebody has changed.
func Look(ctx context.Context, kube kubernetes.Interface) (what string, inForce bool, err error) {
	want, binding, err := typed()
	if err != nil {
		return "", false, err
	}
	api := kube.AdmissionregistrationV1()
	have, err := api.ValidatingAdmissionPolicies().Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "the policy " + Name + " is not there", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read the policy %s: %w", Name, err)
	}
	bound, err := api.ValidatingAdmissionPolicyBindings().Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "the policy " + Name + " has no binding, so that it is not in force", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read the policy's binding %s: %w", Name, err)
	}
	// The manifest has the API server's defaults written out, so that both are alike.
	switch {
	case !equality.Semantic.DeepEqual(bound.Spec, binding.Spec):
		return "the policy " + Name + " is not bound to all that the coordinator does", false, nil
	case !equality.Semantic.DeepEqual(have.Spec, want.Spec):
		return "the policy " + Name + " is not this version's", true, nil
	}
	return "", true, nil
}
