package v1alpha1

// OperationEtcd changes the etcd members one by one: their version, or their settings.
const OperationEtcd OperationType = "Etcd"

// EtcdChange says what is done to each member.
// +kubebuilder:validation:Enum=Upgrade;Downgrade;Apply
type EtcdChange string

// The changes.
const (
	// EtcdUpgrade brings the members to newer versions, one minor version at a time.
	EtcdUpgrade EtcdChange = "Upgrade"
	// EtcdDowngrade brings them one minor version back, as etcd permits.
	EtcdDowngrade EtcdChange = "Downgrade"
	// EtcdApply gives them the settings of the stored Cluster document.
	EtcdApply EtcdChange = "Apply"
)

// EtcdSpec says what is done to the etcd members. All of them are on nodes.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.etcd can't be changed; create a new Operation"
// +kubebuilder:validation:XValidation:rule="self.change == 'Apply' ? !has(self.versions) : has(self.versions)",message="versions are those of an Upgrade or a Downgrade"
// +kubebuilder:validation:XValidation:rule="self.change != 'Downgrade' || !has(self.versions) || size(self.versions) == 1",message="a Downgrade is to one version"
type EtcdSpec struct {
	Change EtcdChange `json:"change"`
	// Versions are those to go through, in order, one minor version at a time: v3.6.16.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^v3\.[0-9]+\.[0-9]+$`
	// +listType=set
	Versions []string `json:"versions,omitempty"`
	// Members is the order of their turns, by their hosts' names: who leads comes last. Those that
	// are not named follow in the order of the document. A member that leads when its turn comes
	// hands over first, whatever the order.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	Members []string `json:"members,omitempty"`
	// KeepBackups is how many backups stay on each host. Zero: three.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	KeepBackups int32 `json:"keepBackups,omitempty"`
}
