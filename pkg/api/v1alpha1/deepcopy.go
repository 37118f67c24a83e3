package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Written by hand: two types do not warrant a generator. A test fills every
// field and compares, so that a new field that is not copied is noticed.

func copyTime(t *metav1.Time) *metav1.Time {
	if t == nil {
		return nil
	}
	return t.DeepCopy()
}

// DeepCopyInto copies everything into out; they share nothing.
func (in *JoinSpec) DeepCopyInto(out *JoinSpec) {
	*out = *in
	out.ControlPlanes = slices.Clone(in.ControlPlanes)
}

// DeepCopyInto copies everything into out; they share nothing.
func (in *OperationSpec) DeepCopyInto(out *OperationSpec) {
	*out = *in
	if in.Join != nil {
		out.Join = &JoinSpec{}
		in.Join.DeepCopyInto(out.Join)
	}
	if in.Images != nil {
		out.Images = &ImagesSpec{}
		in.Images.DeepCopyInto(out.Images)
	}
	if in.PruneImages != nil {
		out.PruneImages = &PruneImagesSpec{}
		in.PruneImages.DeepCopyInto(out.PruneImages)
	}
	if in.LoadBalancer != nil {
		out.LoadBalancer = &LoadBalancerSpec{}
		in.LoadBalancer.DeepCopyInto(out.LoadBalancer)
	}
	if in.Addon != nil {
		out.Addon = &AddonSpec{}
		in.Addon.DeepCopyInto(out.Addon)
	}
	if in.AddNode != nil {
		out.AddNode = &AddNodeSpec{}
		in.AddNode.DeepCopyInto(out.AddNode)
	}
	if in.Mend != nil {
		out.Mend = &MendSpec{Fixes: slices.Clone(in.Mend.Fixes)}
	}
	if in.Upgrade != nil {
		out.Upgrade = &UpgradeSpec{}
		in.Upgrade.DeepCopyInto(out.Upgrade)
	}
	// What these point to points to nothing else.
	if in.RemoveNode != nil {
		c := *in.RemoveNode
		out.RemoveNode = &c
	}
	if in.RollbackNode != nil {
		c := *in.RollbackNode
		out.RollbackNode = &c
	}
}

// DeepCopyInto copies everything into out; they share nothing.
func (in *StepStatus) DeepCopyInto(out *StepStatus) {
	*out = *in
	out.After = slices.Clone(in.After)
	out.StartedAt = copyTime(in.StartedAt)
	out.FinishedAt = copyTime(in.FinishedAt)
}

// DeepCopyInto copies everything into out; they share nothing.
func (in *OperationStatus) DeepCopyInto(out *OperationStatus) {
	*out = *in
	out.Conditions = slices.Clone(in.Conditions)
	out.StartedAt = copyTime(in.StartedAt)
	out.FinishedAt = copyTime(in.FinishedAt)
	if in.Steps != nil {
		out.Steps = make([]StepStatus, len(in.Steps))
		for i := range in.Steps {
			in.Steps[i].DeepCopyInto(&out.Steps[i])
		}
	}
}

// DeepCopyInto copies everything into out; they share nothing.
func (in *Operation) DeepCopyInto(out *Operation) {
	*out = *in
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Spec.DeepCopyInto(&out.Spec)
	in.Status.DeepCopyInto(&out.Status)
}

// DeepCopy is a copy that shares nothing; nil of nil.
func (in *Operation) DeepCopy() *Operation {
	if in == nil {
		return nil
	}
	out := &Operation{}
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject makes an Operation a runtime.Object.
func (in *Operation) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// DeepCopyInto copies everything into out; they share nothing.
func (in *OperationList) DeepCopyInto(out *OperationList) {
	*out = *in
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	if in.Items != nil {
		out.Items = make([]Operation, len(in.Items))
		for i := range in.Items {
			in.Items[i].DeepCopyInto(&out.Items[i])
		}
	}
}

// DeepCopy is a copy that shares nothing; nil of nil.
func (in *OperationList) DeepCopy() *OperationList {
	if in == nil {
		return nil
	}
	out := &OperationList{}
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject makes an OperationList a runtime.Object.
func (in *OperationList) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}
