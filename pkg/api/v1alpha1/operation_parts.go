package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

const (
	// OperationPartKind is the kind of an OperationPart.
	OperationPartKind = "OperationPart"
	// OperationPartResource is its plural, lower case.
	OperationPartResource = "operationparts"
	// LabelOperation has the name of the Operation to which an OperationPart belongs.
	LabelOperation = Group + "/operation"
)

// OperationPartsResource is the resource of OperationParts, for a dynamic client.
var OperationPartsResource = GroupVersion.WithResource(OperationPartResource)

// OperationPart has some of the steps of an Operation whose plan is too large for one object: what is
// written when a step begins or ends is to be as small in a cluster of 5,000 nodes as in one of ten
// (ADR 43). It belongs to its Operation and goes with it.
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:object:root=true
type OperationPart struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Steps follow those of the part before, in the order of their names. Only a coordinator writes
	// them, as a whole: atomic, or what is noted about each field would be as large as the steps.
	// +listType=atomic
	Steps []StepStatus `json:"steps,omitempty"`
}
