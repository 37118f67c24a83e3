// Package job is the transport of everything that happens after the bootstrap:
// a task gets to its node as a Kubernetes Job pinned to it.
//
// The Job's name is given, and is the fence: whoever runs the same name again
// awaits the Job that is there and gets its result; the task runs once. The
// request, which may hold secrets, travels in a Secret that is mounted into the
// pod and removed as soon as the task has ended. The result comes back as the
// container's termination message, or from the log when that has more of it.
//
// Everything but the creation is waiting and reading, and is done again while
// the API can't be reached, until the deadline.
package job
