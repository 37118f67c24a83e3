// Package etcdcare looks after an etcd cluster as a whole, from one host that has a login to it: a
// control plane or a member. Each task asks the members at their own TLS ports. None of them
// touches a member's host; that is package etcdmember's.
//
// Look, Compare and Gate change nothing. Defrag, Compact, Free and Downgrade can be run again at
// any time, and then do what is left.
package etcdcare
