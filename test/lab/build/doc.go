// Package build makes everything that a lab consists of, from source and from
// Debian packages: Kubernetes, etcd, containerd and the rest from the Go module
// proxy, the hosts' root file system with mmdebstrap, images under upstream's
// own names. Each build is cached under a key of its version and its recipe.
//
// Nothing here downloads a release: a machine that reaches only the module
// proxy and a Debian mirror can build a lab.
package build
