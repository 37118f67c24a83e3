// Package upgrade is the Upgrade Operation, which brings a cluster to another
// version of Kubernetes, and RollbackNode, which puts one node back.
//
// What is to be done is pure: Skew says what is allowed, Check what stands in
// the way, Plan which steps there are and in which order, each of them of what
// Observe has seen. The same functions are the plan that a person is shown and
// the one that is carried out.
//
// One control plane after the other, the holder of the virtual IP last: the
// address moves away, the node is upgraded by tasks on it, gates look at it until
// it is well. Then the settings that kubeadm overwrites are made again, and then
// come the workers, a few at a time, and a group of them after the other where that is
// asked for. The first node that fails ends it, unless some workers may; what the
// Operation cordoned it uncordons, however it ends.
package upgrade
