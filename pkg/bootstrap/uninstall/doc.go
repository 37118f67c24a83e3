// Package uninstall takes a cluster off its hosts, over SSH, since it must work when
// nothing of the cluster does any more. It goes in three parts as the bootstrap
// does: Observe looks at all hosts, MakePlan is pure, Run carries the plan out, on
// all hosts at the same time.
//
// A host that can't be reached is left for later: the same command goes on with it
// once it is back. Nothing is done to any host when one of them belongs to another
// cluster.
package uninstall
