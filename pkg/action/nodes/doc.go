// Package nodes adds hosts to a cluster that runs, takes them out, and replaces one by another.
package nodes
