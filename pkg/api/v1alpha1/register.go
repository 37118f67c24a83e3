package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of the types here.
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// OperationsResource is the resource of Operations, for a dynamic client.
var OperationsResource = GroupVersion.WithResource(OperationResource)

// AddToScheme registers Operation and OperationList. The Cluster is a file's
// content and no API object.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &Operation{}, &OperationList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
