// Package adopt finds the Cluster document of a cluster that kubectl-ha has not
// made, from what the cluster itself tells: kubeadm's configuration, the nodes,
// the arguments of the static pods. Nothing is changed.
package adopt
