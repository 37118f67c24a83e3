package v1alpha1

import (
	"encoding/json"
	"fmt"
	"time"
)

// OperationBackup makes a backup on the nodes, and sends it to a target if one is named.
const OperationBackup OperationType = "Backup"

// BackupSpec says where a backup goes and what stays of its like. Its name is the Operation's.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.backup can't be changed; create a new Operation"
type BackupSpec struct {
	// TargetSecret is the Secret in ha-system that says where the backup is sent. Empty: it stays
	// on the nodes.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	TargetSecret string `json:"targetSecret,omitempty"`
	// Keep says what stays of the scheduled backups where this one goes. Empty: at a target
	// everything, on the nodes the newest three.
	Keep BackupKeep `json:"keep,omitempty"`
}

// BackupKeep says which backups stay. One stays for any of its reasons.
type BackupKeep struct {
	// Last is how many of the newest stay.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Last int32 `json:"last,omitempty"`
	// Daily and Weekly are of how many days and ISO weeks (UTC) that have a backup the newest stays.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Daily int32 `json:"daily,omitempty"`
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Weekly int32 `json:"weekly,omitempty"`
}

// AnnotationBackup is on a Backup Operation whose backup is whole: MadeBackup as JSON.
const AnnotationBackup = Group + "/backup"

// +kubebuilder:object:generate=false

// MadeBackup is a backup that is whole.
type MadeBackup struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Revision is etcd's newest in it, Bytes the size of all of it where it went.
	Revision int64 `json:"revision"`
	Bytes    int64 `json:"bytes"`
}

// MadeBackup is what a Backup Operation has made; nil as long as that is not whole.
func (op *Operation) MadeBackup() (*MadeBackup, error) {
	text := op.Annotations[AnnotationBackup]
	if op.Spec.Type != OperationBackup || text == "" {
		return nil, nil
	}
	var m MadeBackup
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return nil, fmt.Errorf("operation %s: its annotation %s can't be read: %w", op.Name, AnnotationBackup, err)
	}
	return &m, nil
}

// SetMadeBackup notes what was made.
func (op *Operation) SetMadeBackup(m MadeBackup) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("operation %s: note its backup: %w", op.Name, err)
	}
	if op.Annotations == nil {
		op.Annotations = map[string]string{}
	}
	op.Annotations[AnnotationBackup] = string(text)
	return nil
}
