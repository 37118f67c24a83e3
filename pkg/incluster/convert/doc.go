// Package convert is the Operation that gives a cluster of others a virtual IP that kubectl-ha
// keeps, and has everything in the cluster use it: the first half of the way from one control
// plane to three (the second is package nodes). The former endpoint is left as it is and goes on
// working, so that nothing fails in between, and the way back is the same steps with the addresses
// exchanged. kubeadm has no way to change an endpoint (kubeadm#1955). See ADR 48.
package convert
