// Package status looks at a whole cluster at one moment: the virtual IP, each
// apiserver, controller-manager, scheduler and etcd member asked itself, the
// nodes, certificates, DNS, Operations and backups.
//
// Look changes nothing, and runs nothing on any node. What listens on a host's
// loopback only (etcd's metrics, the health of controller-manager and scheduler)
// is reached through the kubelet, by forwarding a port of a static pod, which is
// in the host's network. Files on hosts are read by Inspect only, which runs a
// read-only task on each node.
//
// Judge says what is wrong with what was seen, and is pure.
package status
