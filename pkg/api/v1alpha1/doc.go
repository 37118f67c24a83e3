// Package v1alpha1 holds the two documents kubectl-ha knows: the Cluster, which
// is the user's file (and, once the cluster runs, its stored spec), and the
// Operation, the custom resource by which everything in the cluster is done.
//
// The package has types, strict decoding, defaults and validation; it does no
// I/O and imports nothing else of this module but yamldoc.
//
// The copies (zz_generated.deepcopy.go) and the resource's definition
// (manifests/operation-crd.yaml) are made from the types and the markers beside
// them by `make generate`.
//
// +kubebuilder:object:generate=true
// +groupName=kubectl-ha.dev
package v1alpha1
