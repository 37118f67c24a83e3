// Package localfile writes files of this machine, at once or not at all, and locks them
// against other processes. What is on a host of the cluster is changed by pkg/node/host instead,
// which keeps its own record of that.
package localfile
