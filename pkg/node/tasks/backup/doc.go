// Package backup keeps on a host what a cluster can be made of again: a snapshot
// of etcd and an archive of the host's own configuration and keys. Both are
// read back before they count, and a backup is one only with its index, which is
// written last. They hold every secret of the cluster: files are 0600 in
// directories with 0700, and leave the host only by the hand of whoever may.
package backup
