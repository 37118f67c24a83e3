// Package manifests embeds every YAML document that kubectl-ha applies to a
// cluster. The documents are complete and valid as they are; what depends on
// the cluster (an address, an image, a node's name) is set in Go on the decoded
// objects, never by text templates.
package manifests

import "embed"

// The paths of the documents in FS.
const (
	// OperationCRD defines the Operation resource.
	OperationCRD = "operation-crd.yaml"
	// System is the namespace ha-system and what the coordinator may do.
	System = "system.yaml"
	// CoordinatorPolicy is what the coordinator's rights can be used for.
	CoordinatorPolicy = "coordinator-policy.yaml"
	// FlannelRights are what the coordinator may do about flannel.
	FlannelRights = "network/flannel-rights.yaml"
	// Flannel is the default network plugin.
	Flannel = "network/flannel.yaml"
	// CoordinatorJob is the Job that carries out one Operation.
	CoordinatorJob = "jobs/coordinator.yaml"
	// CertificateRenewal is the CronJob that renews certificates.
	CertificateRenewal = "jobs/certificate-renewal.yaml"
	// ScheduledBackup is the CronJob that makes backups.
	ScheduledBackup = "jobs/scheduled-backup.yaml"
	// NodeJob is the Job that runs one task on one node.
	NodeJob = "jobs/node.yaml"
	// LoadBalancer is the load balancer on the control planes.
	LoadBalancer = "loadbalancer.yaml"
	// CoreDNS is the part of the CoreDNS Deployment that kubectl-ha sets.
	CoreDNS = "coredns-patch.yaml"
	// JoinScript is a text template, the one exception: a script for a host that is
	// reached by other means than SSH.
	JoinScript = "scripts/join.sh.tmpl"
)

// FS holds the documents.
//
//go:embed *.yaml network/*.yaml jobs/*.yaml scripts/*.tmpl
var FS embed.FS
