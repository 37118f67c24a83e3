// Package upgrade brings one host to another version of Kubernetes, and back.
//
// Each task may be cut off at any point, by a loss of power as well, and be run
// again; kubeadm itself can't be. kubeadm moves a manifest away before it moves
// the new one there, and writes certificates and the kubelet's configuration in
// place. So what it is going to change is kept first, whole, and only then is it
// noted that kubeadm begins (a mark, in one rename). A run that finds the mark of
// an unfinished one puts back what is missing or broken, out of what was kept,
// and lets kubeadm go on from there. What is whole is left as it is, old or new.
//
// Binaries are put in place by renames, and the kubelet's comes last. Nothing
// here fetches anything: what an upgrade needs lies in ReleasesDir before.
package upgrade
