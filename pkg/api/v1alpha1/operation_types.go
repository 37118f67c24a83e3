package v1alpha1

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// OperationKind is the kind of the custom resource.
	OperationKind = "Operation"
	// OperationResource is its plural, lower case. Operations are cluster-scoped,
	// so that `kubectl get operations` needs no namespace.
	OperationResource = "operations"
)

// OperationType says what an Operation does.
// +kubebuilder:validation:Enum=Join;Images;PruneImages;Upgrade;RollbackNode;LoadBalancer;RemoveLoadBalancer;Addon;AddNode;RemoveNode;Repair;RenewCertificates;RotateAuthority;Etcd;Backup;Convert
type OperationType string

const (
	// OperationJoin promotes joined nodes to control planes and applies the
	// HA settings: network plugin, kube-proxy, CoreDNS, labels.
	OperationJoin OperationType = "Join"
)

// Operation records an intent, its plan and the progress of each step. The
// coordinator Job carries it out; whoever reads it knows what was done and
// what is left.
// +kubebuilder:resource:scope=Cluster,shortName=op
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Type,type=string,JSONPath=.spec.type
// +kubebuilder:printcolumn:name=Phase,type=string,JSONPath=.status.phase
// +kubebuilder:printcolumn:name=Progress,type=string,JSONPath=.status.progress
// +kubebuilder:printcolumn:name=Message,type=string,JSONPath=.status.message
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=.metadata.creationTimestamp
// +kubebuilder:object:root=true
type Operation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              OperationSpec `json:"spec"`
	// Status of a new one says that no generation was observed: who asks how it is doing must
	// not take it for done.
	// +default={"observedGeneration": -1}
	Status OperationStatus `json:"status,omitempty"`
}

// OperationSpec is what is wanted.
// +kubebuilder:validation:XValidation:rule="self.type != 'Join' || has(self.join)",message="spec.join is required when spec.type is Join"
// +kubebuilder:validation:XValidation:rule="self.type != 'Images' || has(self.images)",message="spec.images is required when spec.type is Images"
// +kubebuilder:validation:XValidation:rule="self.type != 'PruneImages' || has(self.pruneImages)",message="spec.pruneImages is required when spec.type is PruneImages"
// +kubebuilder:validation:XValidation:rule="self.type != 'Upgrade' || has(self.upgrade)",message="spec.upgrade is required when spec.type is Upgrade"
// +kubebuilder:validation:XValidation:rule="self.type != 'RollbackNode' || has(self.rollbackNode)",message="spec.rollbackNode is required when spec.type is RollbackNode"
// +kubebuilder:validation:XValidation:rule="self.type != 'Addon' || has(self.addon)",message="spec.addon is required when spec.type is Addon"
// +kubebuilder:validation:XValidation:rule="self.type != 'LoadBalancer' || has(self.loadBalancer)",message="spec.loadBalancer is required when spec.type is LoadBalancer"
// +kubebuilder:validation:XValidation:rule="self.type != 'AddNode' || has(self.addNode)",message="spec.addNode is required when spec.type is AddNode"
// +kubebuilder:validation:XValidation:rule="self.type != 'RemoveNode' || has(self.removeNode)",message="spec.removeNode is required when spec.type is RemoveNode"
// +kubebuilder:validation:XValidation:rule="self.type != 'Repair' || has(self.repair)",message="spec.repair is required when spec.type is Repair"
// +kubebuilder:validation:XValidation:rule="self.type != 'RenewCertificates' || has(self.renewCertificates)",message="spec.renewCertificates is required when spec.type is RenewCertificates"
// +kubebuilder:validation:XValidation:rule="self.type != 'RotateAuthority' || has(self.rotateAuthority)",message="spec.rotateAuthority is required when spec.type is RotateAuthority"
// +kubebuilder:validation:XValidation:rule="self.type != 'Etcd' || has(self.etcd)",message="spec.etcd is required when spec.type is Etcd"
// +kubebuilder:validation:XValidation:rule="self.type != 'Backup' || has(self.backup)",message="spec.backup is required when spec.type is Backup"
// +kubebuilder:validation:XValidation:rule="self.type != 'Convert' || has(self.convert)",message="spec.convert is required when spec.type is Convert"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.aborted) || !oldSelf.aborted || (has(self.aborted) && self.aborted)",message="an aborted Operation stays aborted; create a new one"
type OperationSpec struct {
	// Type says what the Operation does, and which of the fields below is set.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.type can't be changed; create a new Operation"
	Type OperationType `json:"type"`
	// Paused stops the Operation before its next step; running steps finish.
	Paused bool `json:"paused,omitempty"`
	// Aborted ends the Operation: running steps finish, the clean-up steps run,
	// nothing else starts. It can't be taken back.
	Aborted bool `json:"aborted,omitempty"`
	// Join is set when Type is Join.
	Join *JoinSpec `json:"join,omitempty"`
	// Images is set when Type is Images.
	Images *ImagesSpec `json:"images,omitempty"`
	// PruneImages is set when Type is PruneImages.
	PruneImages *PruneImagesSpec `json:"pruneImages,omitempty"`
	// Upgrade is set when Type is Upgrade.
	Upgrade *UpgradeSpec `json:"upgrade,omitempty"`
	// RollbackNode is set when Type is RollbackNode.
	RollbackNode *RollbackNodeSpec `json:"rollbackNode,omitempty"`
	// AddNode is set when Type is AddNode.
	AddNode *AddNodeSpec `json:"addNode,omitempty"`
	// RemoveNode is set when Type is RemoveNode.
	RemoveNode *RemoveNodeSpec `json:"removeNode,omitempty"`
	// Addon is set when Type is Addon.
	Addon *AddonSpec `json:"addon,omitempty"`
	// LoadBalancer is set when Type is LoadBalancer.
	LoadBalancer *LoadBalancerSpec `json:"loadBalancer,omitempty"`
	// Repair is set when Type is Repair.
	Repair *RepairSpec `json:"repair,omitempty"`
	// RenewCertificates is set when Type is RenewCertificates.
	RenewCertificates *RenewCertificatesSpec `json:"renewCertificates,omitempty"`
	// RotateAuthority is set when Type is RotateAuthority.
	RotateAuthority *RotateAuthoritySpec `json:"rotateAuthority,omitempty"`
	// Etcd is set when Type is Etcd.
	Etcd *EtcdSpec `json:"etcd,omitempty"`
	// Backup is set when Type is Backup.
	Backup *BackupSpec `json:"backup,omitempty"`
	// Convert is set when Type is Convert.
	Convert *ConvertSpec `json:"convert,omitempty"`
}

// JoinSpec says which joined nodes become what.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.join can't be changed; create a new Operation"
type JoinSpec struct {
	// ControlPlanes are the nodes to promote. May be empty.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	ControlPlanes []string `json:"controlPlanes,omitempty"`
	// Source is a control plane that runs already, which uploads the certificates.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Source string `json:"source"`
}

// OperationPhase is where an Operation stands.
// +kubebuilder:validation:Enum="";Pending;Running;Paused;Succeeded;Failed;Aborted
type OperationPhase string

// The phases. Pending, Planning, Running and Paused are not final.
const (
	OperationPending   OperationPhase = "Pending"
	OperationRunning   OperationPhase = "Running"
	OperationPaused    OperationPhase = "Paused"
	OperationSucceeded OperationPhase = "Succeeded"
	OperationFailed    OperationPhase = "Failed"
	OperationAborted   OperationPhase = "Aborted"
)

// Final tells whether nothing more will happen without a person's doing.
func (p OperationPhase) Final() bool {
	return p == OperationSucceeded || p == OperationFailed || p == OperationAborted
}

// OperationStatus is what was planned and done. It never holds a secret.
type OperationStatus struct {
	Phase OperationPhase `json:"phase,omitempty"`
	// ObservedGeneration is the metadata.generation that all else here is about. -1, the
	// resource's default: no coordinator has seen the Operation yet.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions say for other programs what Phase says. They follow from all else, and are
	// computed whenever the status is written.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, size(c.message) <= 1024)",message="a condition's message has at most 1024 characters"
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Message is one line for people: what runs now, or why it ended.
	Message string `json:"message,omitempty"`
	// Coordinator is the pod that carries it out.
	Coordinator string       `json:"coordinator,omitempty"`
	StartedAt   *metav1.Time `json:"startedAt,omitempty"`
	FinishedAt  *metav1.Time `json:"finishedAt,omitempty"`
	// Progress is "done/all", for kubectl's columns.
	Progress string `json:"progress,omitempty"`
	// Parts is in how many OperationParts the steps are, named NAME-00000 and on. Zero: they are here.
	// +kubebuilder:validation:Minimum=0
	Parts int32 `json:"parts,omitempty"`
	// PartsWritten counts the changes of parts, so that whoever watches the Operation learns of them.
	PartsWritten int64 `json:"partsWritten,omitempty"`
	// Steps is the plan, in an order in which they could run one by one.
	// +listType=map
	// +listMapKey=id
	Steps []StepStatus `json:"steps,omitempty"`
}

// StepState is where a step stands.
// +kubebuilder:validation:Enum=Pending;Running;Succeeded;Failed;Skipped
type StepState string

// The states of a step.
const (
	StepPending   StepState = "Pending"
	StepRunning   StepState = "Running"
	StepSucceeded StepState = "Succeeded"
	StepFailed    StepState = "Failed"
	StepSkipped   StepState = "Skipped"
)

// StepStatus is one step of the plan and its progress.
type StepStatus struct {
	// ID is stable and unique in the Operation: promote/cp2.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	ID string `json:"id"`
	// Title is one line for people.
	Title string `json:"title,omitempty"`
	// Node is where it runs, empty for steps of the coordinator itself.
	Node string `json:"node,omitempty"`
	// After are the IDs of the steps that must have succeeded or been skipped before. KIND/* among
	// them stands for all steps of a kind before this one, AfterTurns for all turns of nodes.
	After []string `json:"after,omitempty"`
	// Turns bounds the turns of nodes that this step opens.
	Turns *TurnBounds `json:"turns,omitempty"`
	// Cleanup steps run when everything else has ended, however it ended.
	Cleanup bool `json:"cleanup,omitempty"`
	// UndoneBy is the clean-up step that takes this one's effect back: when the
	// Operation is resumed after it ran, this step runs again.
	UndoneBy string    `json:"undoneBy,omitempty"`
	State    StepState `json:"state"`
	// Attempt counts the tries that were begun; it is part of the Job's name.
	// +kubebuilder:validation:Minimum=0
	Attempt int32 `json:"attempt,omitempty"`
	// Job is the node Job, when there is one.
	Job        string       `json:"job,omitempty"`
	StartedAt  *metav1.Time `json:"startedAt,omitempty"`
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// Message is the last thing seen, or the error with what to do next.
	Message string `json:"message,omitempty"`
}

// AfterTurns in a step's After: the step comes after all turns of nodes that are before it in the
// plan. One that has failed, as some may, is not waited for.
const AfterTurns = "turns" + afterAll

// afterAll ends what stands for many steps: each by its name would make one step as large as the cluster.
const afterAll = "/*"

// AfterAll in a step's After: the step comes after all steps of a kind that are before it in the plan.
func AfterAll(kind string) string { return kind + afterAll }

// KindAfter is the kind of which all steps are meant in a step's After; empty where one step is.
func KindAfter(id string) string {
	kind, all := strings.CutSuffix(id, afterAll)
	if !all {
		return ""
	}
	return kind
}

// TurnBounds bound the turns of nodes that begin directly after a step.
type TurnBounds struct {
	// AtOnce is how many nodes may be out at the same time, for whatever reason: one whose turn has
	// begun or has failed, and one that is not ready. Zero: one.
	// +kubebuilder:validation:Minimum=0
	AtOnce int32 `json:"atOnce,omitempty"`
	// MaxFailures is how many nodes may fail in the whole Operation before no other one's turn begins.
	// +kubebuilder:validation:Minimum=0
	MaxFailures int32 `json:"maxFailures,omitempty"`
}

// OperationList is a list of Operations.
// +kubebuilder:object:root=true
type OperationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Operation `json:"items"`
}
