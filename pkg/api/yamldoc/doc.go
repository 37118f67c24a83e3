// Package yamldoc reads and writes the YAML documents people hand to kubectl-ha.
//
// Reading is strict and says where: a field that the Go type does not have, a
// wrong type, a key given twice is a Problem with its line and, for a misspelt
// name, the nearest one that exists; all of them at once. It is safe on any
// input: size, number of nodes and alias expansion are bounded.
//
// Writing quotes every string that some YAML reader (1.1 or 1.2) could take for
// something else, and keeps the fields in the order of the Go type.
package yamldoc
