// Package kubeadm writes kubeadm's configuration documents (v1beta4, which
// kubeadm knows from 1.31 on) for each thing that is done with kubeadm on a
// host. It is pure: a Cluster and parameters in, YAML out.
//
// Each document has three layers: defaults of ours, over them what the user
// merges in (spec.kubeadm), and over that what makes the cluster the cluster
// and can't be changed there.
//
// The documents of Init, JoinWorker, Promote and UploadCerts hold secrets: write
// them 0600, never to a log, and remove them after use.
package kubeadm
