package vip

import "time"

const (
	// holdTable is the nftables table that exists while an address is moved.
	holdTable = "kubectl-ha-vip"
	// holdLife is when the kernel itself ends a hold, should the agent die before
	// it does. It is longer than a move takes, which is about 0.7 s.
	holdLife = 2 * time.Second
)

// A hold keeps new connections to the virtual IP waiting on the host that is
// about to lose it, so that what it has begun to answer is finished by the time
// the address moves. The client's own kernel sends the first packet of a
// connection again after a second (RFC 6298), and that reaches the new holder:
// nobody sees an error, and new connections take a second longer once.
//
// Without it a request in flight is lost: its connection is on the old holder,
// which can't answer from an address that it no longer has, and the new holder
// resets what it knows nothing of.
