// Package certs is about the certificates of a cluster: which there are and when they end
// (Status), their renewal while the cluster is in use (Renew), and that of certificates which
// have ended, on a cluster whose API may be gone (Rescue).
//
// The keys stay on the hosts. What etcd's CA signs is signed on the workstation, where its key
// is; the rest on the hosts, by kubeadm's CAs.
package certs
