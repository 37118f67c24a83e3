// Package kubeletcert has the tasks by which servers get certificates that the
// cluster's CA has signed: Serving has a host's kubelet ask the cluster for its
// own, and go back to one that it makes itself; Sign signs another server's on a
// control plane, where the CA's key is.
package kubeletcert
