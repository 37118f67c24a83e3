// Package doctor looks for what is known to break highly available kubeadm
// clusters, on any of them: each check has a stable id, says what it found, why
// that matters, and how to repair it. What is safe to repair by itself names the fix
// that the Repair Operation carries out, or the addon that is installed again.
//
// Observe looks and changes nothing; Examine judges, and is pure.
package doctor
