// Package bundle makes, checks and compares bundles: one OCI layout in
// one file, with the images and host binaries of one Kubernetes version, each
// blob by its digest. It is the only room with containers/image.
package bundle
