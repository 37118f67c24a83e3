// Package drain keeps pods from a node and moves those away that are on it, for
// every Operation that takes a node out.
//
// Which pods have to leave, why one may not, and the eviction of one are those of
// kubectl drain, by its own code: k8s.io/kubectl/pkg/drain. The loop around it is
// this package's. Its deadline outlives a change of coordinators, who has cordoned a
// node is noted in the write that does it, and an API that does not answer for a
// moment ends nothing. See ADR 11.
//
// Like kubectl, a drain is about the pods that are there when it begins. One that
// comes to the node afterwards and tolerates the cordon would only come again, and
// stays.
package drain
