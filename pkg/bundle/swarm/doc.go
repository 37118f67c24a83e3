// Package swarm lets the nodes of a cluster hand pieces of blobs to each other,
// so that what is pushed leaves the workstation once, whatever the number of
// nodes.
//
// There is one Peer per node. One of them, the seed, has a feed: a byte stream
// to the workstation, where Feed runs. Peers tell each other what they have and
// want, fetch the rarest piece first, check each piece as it arrives, and offer
// it to the others at once. The feed is asked only for what no peer has. What is
// distributed is a Parcel, which is content-addressed itself: a peer is told no
// more than its digest and size.
package swarm
