// Package certs is the RenewCertificates Operation: node by node, each certificate is exchanged
// while it is in use, and the cluster has to be well before the next node's turn.
//
// What etcd's CA signs was asked for and signed before there was an Operation: the keys are on
// the nodes, and the certificates, which are no secrets, in the Operation's Secret. Whoever
// resumes it goes on with the same. Where a node has lost the key meanwhile, its step says so,
// and a new Operation is to be created.
package certs
