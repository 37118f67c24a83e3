// Package ctrd puts a bundle's images into a host's containerd, through its
// client library: content straight into the content store, a GC label for
// everything that is referred to, unpacked for the snapshotter. It is the only
// room with the containerd client.
package ctrd
