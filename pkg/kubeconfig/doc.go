// Package kubeconfig makes a caller's access to a cluster: a kubeconfig for its
// stable address with an identity of the caller's own, short-lived, tried before
// it is handed over, and never without credentials.
//
// Issue gets the identity with whatever access there is already, Verify tries
// the very content that is written, WriteFile and Merge store it.
package kubeconfig
