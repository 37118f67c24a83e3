// Package host makes and unmakes a lab: a network, bare hosts on it and the
// mirror, and does to them what happens to real machines: power cuts, frozen
// processes, pulled cables, thin links.
package host
