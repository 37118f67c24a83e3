// Package schedule renews certificates by itself: a CronJob whose pod looks at the certificates of
// control planes and etcd members, has what kubeadm's CAs have signed renewed by a
// RenewCertificates Operation once two thirds of its life are over, and tells of what only the
// workstation can renew, by Events and for Prometheus.
//
// The pod is a coordinator that creates its Operation itself: the same service account, bounded by
// the same policy. What it can create is an Operation that renews what is signed on the nodes.
package schedule
