// Package nodes is the Operations AddNode and RemoveNode: what is done from inside
// the cluster when a host joins it or leaves it for good.
//
// A host that is added has been prepared before, its kubelet has joined, and its etcd member
// votes already; here it becomes a control plane, and everybody learns of it. A host
// that leaves gives up its pods, the virtual IP and its etcd member, in an order in
// which nothing is lost; one that is lost already only has its traces removed. No host
// is special.
//
// Check and Plan are pure functions of the Operation, the Cluster and an Observation.
package nodes
