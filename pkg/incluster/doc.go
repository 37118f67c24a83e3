// Package incluster is stage two: everything that is done from inside the
// cluster, as Operations. Its faces are
//
//   - Install, which brings the Operation resource, the namespace ha-system and
//     the stored Cluster document into a cluster,
//   - Operations, the verbs of an Operation: create, watch, pause, resume, abort,
//   - Join, with which the bootstrap hands over,
//   - Coordinate, what the coordinator's pod does.
//
// A new type of Operation is a Definition (package engine) in a package of its
// own, one line in definitions, and its spec in the CRD's schema.
//
// Its tests run against real programs when the environment names them:
// KUBE_APISERVER, ETCD, KUBE_CONTROLLER_MANAGER and KUBECTL.
package incluster
