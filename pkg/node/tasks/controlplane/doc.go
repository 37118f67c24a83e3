// Package controlplane runs kubeadm on a host: init on the first control plane,
// the joining of the others' kubelets, and the promotion of a joined node.
//
// kubeadm is no transaction. A run that was interrupted leaves files that the
// next one stumbles over, so each task notes in the ledger that it is about to
// run kubeadm, and later that kubeadm ended well. Between the two, what lies
// there is our own unfinished work: exactly the preflight checks that it fails
// are ignored, and what was written only by half is put away. Without the first
// note it is somebody else's, and an error. A CA is never made anew.
//
// kubeadm reads its configuration from standard input, so that neither token
// nor certificate key ever lies on the disk or stands in an argument.
package controlplane
