// Package images is the Operations on images: Images, which puts images into the
// nodes' image stores, and PruneImages, which removes some; and what is decided
// about them from what the nodes report (matrix.go, prune.go), without asking
// any node.
//
// An Images Operation is one step a node, all at once. The nodes pass pieces of
// blobs to each other; the workstation feeds one of them with what no node has.
// A node that fails or vanishes does not hold the others up: the Operation then
// ends as failed and names it.
package images
