// Package e2e runs the product against the lab's real hosts. It uses only the
// programs bin/lab and bin/kubectl-ha, as a person would, so that each test can
// be repeated by hand; what the tests print says with which commands.
//
// The tests carry the build tag e2e: `make e2e` runs them. One lab cluster is
// shared by the tests that leave it as they found it; it is bootstrapped by
// the first test that asks for it, so that each test can be run alone.
package e2e
