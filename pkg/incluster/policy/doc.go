// Package policy bounds what the coordinator's rights can be used for: a
// ValidatingAdmissionPolicy says what Jobs, DaemonSets, Secrets and roles of its look like. What
// it allows is taken from the very manifests that the coordinator applies, so that neither
// can change without the other.
package policy
