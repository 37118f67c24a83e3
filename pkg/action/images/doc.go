// Package images puts images into the nodes' image stores, compares what is there, and
// chooses what can go.
package images
