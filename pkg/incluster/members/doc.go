// Package members is the Etcd Operation: the members are brought to another version, or get other
// settings, one after the other, and the whole cluster has to be well before the next one's turn.
//
// A plan is pure, and every step of it is a task on one host, so that the same plan is carried out
// from inside by Jobs, and from the workstation over SSH where members are on hosts that are no
// nodes (ADR 39): Request makes the task's request for both.
package members
