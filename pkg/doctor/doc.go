// Package doctor looks for what is known to break highly available kubeadm
// clusters, on any of them: each check has a stable id, says what it found, why
// that matters, and how to mend it. What is safe to mend by itself names the fix
// that the Mend Operation carries out, or the addon that is installed again.
//
// Observe looks and changes nothing; Examine judges, and is pure.
package doctor
