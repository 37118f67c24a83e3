// Package etcd looks at an etcd cluster through the members' own TLS ports, and
// judges what it sees. It is the only room with etcd's client library; none of
// the library's types leave it.
//
// Looking and judging are apart: Client gathers a View, Healthy is a pure
// function of it.
package etcd
