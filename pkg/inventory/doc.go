// Package inventory turns what kubeadm2ha, the predecessor, was configured with,
// an Ansible inventory and its group_vars and host_vars, into a Cluster.
//
// The inventory, INI or YAML, and its files mean what they mean to Ansible; the
// real ansible-inventory is the judge in the tests. Nothing is written, and read
// from the given file system only. What was not read, and what has no
// counterpart, is listed with the reason, so that nothing is lost unnoticed; the
// values of such settings are never repeated, since there are passwords among them.
//
// Both generations of kubeadm2ha are known: groups with dashes (primary-master)
// and with underscores (primary_master), MASTER_VIP and the group apiserver_vip.
package inventory
