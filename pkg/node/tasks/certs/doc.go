// Package certs is about the certificates of one host: what there is (Look), and how each is
// exchanged for a new one while it is in use.
//
// No private key travels. Request makes a key for the successor of a certificate and keeps it
// aside on the host; who has the CA's key, the workstation for etcd's, signs what Request
// returns; Install puts key and certificate into their places. What a CA signs whose key is on
// the host itself, Renew does at one go. Either way the one that was there before is kept,
// the new one has to be seen at work, and what gets worse by it is put back as it was.
//
// Who reads a changed file anew, as seen with etcd 3.6 and Kubernetes 1.36 (real_test.go):
// etcd reads its server and peer certificates, with the keys, at each handshake, both as
// server and as client, and its CAs at its start only. An apiserver reads its client
// certificate for etcd at each handshake, and all its other certificates within a moment of
// their change. So nothing of these is restarted. Connections that are open stay, with the
// certificate that they were made with, also beyond its end. Controller-manager and scheduler
// read their kubeconfigs once, and are restarted; so is a kubelet that got its certificate from
// somebody else than itself.
package certs
