// Package feed has the cluster carry out an Images Operation whose content comes from this
// machine, and gives that content to it.
package feed
