// Package loadbalancer is the Operations that set up and remove the TCP load
// balancer on every control plane, over all apiservers, and what is seen of it.
//
// It is a DaemonSet in ha-system that follows the nodes with the control-plane role
// by itself: a node that becomes one gets a pod, and the pods (package
// pkg/node/balancer) look every few seconds which control planes there are. So no
// Operation that adds, removes or upgrades a control plane has to change anything of
// it; Follow waits until it has followed. See ADR 12.
package loadbalancer
