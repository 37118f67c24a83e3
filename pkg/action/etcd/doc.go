// Package etcd looks after a cluster's etcd: what its members say of themselves, the care of
// their files, and the change of their versions and settings one by one.
//
// The members are asked from a host of the cluster that has a login to them, by a task: as a Job
// through the API, or over SSH, which needs no API. Which way it is, the caller says by
// Options.Hosts.
package etcd
