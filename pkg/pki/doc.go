// Package pki makes and checks the certificates that kubectl-ha is responsible
// for, etcd's first of all, with the standard library only. Keys are ECDSA on
// P-256; pairs are kept as PEM, the form in which they travel and rest.
//
// Store keeps a cluster's CA on the workstation. It never makes one anew while
// there is one: a new CA under a running etcd would be the end of the cluster.
//
// Own and CheckOwn are for CAs that somebody brings: RSA or ECDSA, self-signed or
// not, whose certificates are tried before any is needed.
package pki
