// Package access makes ways into a cluster for people and programs: it issues kubeconfigs, tries
// them, and only then puts them where they are to be.
package access
