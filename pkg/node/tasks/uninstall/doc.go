// Package uninstall takes back everything that kubectl-ha and Kubernetes did to a
// host, without a reboot. What that is the ledger says: what was made goes, what
// was replaced is put back, and what is not in it is not touched. Besides it there
// is what the kernel keeps for Kubernetes: mounts, interfaces and rules of the
// packet filter, which are known by their names.
//
// Each part may be cut off and done again. The ledger goes last, when everything
// else is done; as long as something could not be taken back it stays, and the next
// run goes on from it.
package uninstall
