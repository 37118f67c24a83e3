// Package inventory turns what kubeadm2ha, the predecessor, was configured with,
// an Ansible inventory and its group_vars files, into a Cluster.
//
// It is pure and reads no file. What has no counterpart is listed with the
// reason, so that nothing is lost unnoticed; the values of such settings are
// never repeated, since there are passwords among them.
//
// Both generations of kubeadm2ha are known: groups with dashes (primary-master)
// and with underscores (primary_master), MASTER_VIP and the group apiserver_vip.
package inventory
