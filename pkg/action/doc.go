// Package action and the packages below it are the use cases: each takes options, does one
// thing with hosts or the cluster, tells how far it is by events, and returns a result. None
// of them reads flags or the environment, asks, or prints: pkg/cmd does, and any other
// program can in its place.
package action
