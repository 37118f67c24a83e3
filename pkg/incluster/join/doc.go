// Package join is the Join Operation: it makes control planes of joined
// nodes, side by side since etcd is external, and brings the HA settings into
// the cluster: the network plugin, kube-proxy and cluster-info on the virtual
// IP, CoreDNS on every control plane, labels.
//
// What is to be done is a pure function (Plan, Reasons) of the Operation, the
// Cluster and an Observation.
package join
