// Package etcd looks at an etcd cluster through the members' own TLS ports, and
// judges what it sees. It is the only room with the libraries of etcd's client and database; none of
// their types leave it.
//
// Looking and judging are apart: Client gathers a View, Healthy is a pure
// function of it. A snapshot is looked at in the same way, once it lies on a disk.
package etcd
