package bootstrap

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// maxSkew is how far the clocks of two hosts may be apart: etcd and tokens
// suffer from more.
const maxSkew = 2 * time.Second

func (k *checker) address(h v1alpha1.Host, o HostObservation) {
	if o.Facts.Interface == "" {
		k.err(h.Name, "address", "correct the address in the Cluster file, or give it to an interface",
			"no interface has the address %s", h.Address)
	}
	if !o.Facts.DefaultRoute && isIn(k.c.Nodes(), h) {
		k.warn(h.Name, "route", "add a default route, even one that leads nowhere: kubeadm and kube-proxy want to see one",
			"there is no default route")
	}
	if over := o.Facts.DefaultInterface; k.c.Spec.Network.Plugin == v1alpha1.NetworkPluginManifest && isIn(k.c.Nodes(), h) &&
		over != "" && o.Facts.Interface != "" && over != o.Facts.Interface {
		k.warn(h.Name, "pod-network", "see to it that the manifest in spec.network.manifest takes the node's address (Calico: IP_AUTODETECTION_METHOD=kubernetes-internal-ip), if it connects the nodes itself",
			"the default route leads over %s, the host's address %s is on %s: many network plugins take the former", over, h.Address, o.Facts.Interface)
	}
}

func (k *checker) virtualIP(h v1alpha1.Host, o HostObservation) {
	if !k.c.KeepsVirtualIP() {
		return // Others keep it, by means and at places of their own.
	}
	vip := k.c.Spec.VirtualIP
	if o.Facts.VirtualIPHere && !k.ours(h.Name) {
		k.err(h.Name, "virtual-ip", "remove it from the interface; keepalived will put it where it belongs",
			"the host has the virtual IP %s itself", vip)
	}
	if !h.Has(v1alpha1.RoleControlPlane) {
		return
	}
	if o.Facts.VirtualIPAnswers != "" && !k.heldByUs() {
		k.err(h.Name, "virtual-ip", "choose an address that is free, or switch off whoever has it",
			"the virtual IP %s is in use by somebody else (%s)", vip, o.Facts.VirtualIPAnswers)
	}
	address, wanted := h.Addr(), k.c.VIP()
	if !address.IsValid() || !wanted.IsValid() || o.Facts.Interface == "" || o.Facts.PrefixLength == 0 {
		return
	}
	if subnet, err := address.Prefix(o.Facts.PrefixLength); err == nil && !subnet.Contains(wanted) {
		k.err(h.Name, "virtual-ip", "choose a free address in that subnet; all control planes must be in it",
			"the virtual IP %s is outside of %s, the subnet of %s", vip, subnet, o.Facts.Interface)
	}
}

// heldByUs tells whether a control plane of this cluster has the virtual IP.
func (k *checker) heldByUs() bool {
	return k.in.Running || slices.ContainsFunc(k.c.ControlPlanes(), func(h v1alpha1.Host) bool {
		return k.o[h.Name].Facts.VirtualIPHere && k.ours(h.Name)
	})
}

// clocks compares each host with the others by one finding: the hosts furthest apart.
// Only what is certain counts: a busy host answers late, and that says nothing of its clock.
func (k *checker) clocks() {
	hosts := k.seen()
	if len(hosts) < 2 {
		return
	}
	offset := func(h v1alpha1.Host) Offset { return k.o[h.Name].Clock }
	behind := slices.MinFunc(hosts, func(a, b v1alpha1.Host) int { return cmp.Compare(offset(a).Most, offset(b).Most) })
	ahead := slices.MaxFunc(hosts, func(a, b v1alpha1.Host) int { return cmp.Compare(offset(a).Least, offset(b).Least) })
	if offset(ahead).Least-offset(behind).Most <= maxSkew {
		return
	}
	var each []string
	for _, h := range hosts {
		each = append(each, fmt.Sprintf("%s %+.1f s", h.Name, offset(h).Estimate().Seconds()))
	}
	skew := offset(ahead).Estimate() - offset(behind).Estimate()
	k.err("", "clock", "run chrony or systemd-timesyncd on every host",
		"the clock of %s is %.1f s ahead of that of %s (against the workstation's: %s)", ahead.Name, skew.Seconds(), behind.Name, strings.Join(each, ", "))
}

// identities: what must differ between hosts, and does not where a machine was cloned.
func (k *checker) identities() {
	for _, what := range []struct {
		check, name, hint string
		of                func(HostObservation) []string
	}{
		{"hostname", "host name", "give each its own (hostnamectl hostname)", func(o HostObservation) []string { return []string{o.Facts.Hostname} }},
		{"machine-id", "machine id", "remove /etc/machine-id on the clones, run systemd-machine-id-setup, reboot",
			func(o HostObservation) []string { return []string{o.Facts.MachineID} }},
	} {
		owners := map[string][]string{}
		for _, h := range k.seen() {
			for _, v := range what.of(k.o[h.Name]) {
				if v != "" {
					owners[v] = append(owners[v], h.Name)
				}
			}
		}
		for _, v := range slices.Sorted(maps.Keys(owners)) {
			if names := slices.Compact(owners[v]); len(names) > 1 {
				k.err("", what.check, what.hint, "%s have the same %s %s", strings.Join(names, " and "), what.name, v)
			}
		}
	}
	k.macs()
}

// macs: on one network two interfaces with the same MAC address take each other's
// packets. That the hosts' addresses are on one network is certain; of other interfaces it
// is not even likely: all BMCs of a maker have the same on their USB network, and all
// machines behind a hypervisor's NAT may.
func (k *checker) macs() {
	all := map[string][]string{}   // what has it, by the address
	speak := map[string][]string{} // of these the hosts whose address is there
	for _, h := range k.seen() {
		macs := k.o[h.Name].Facts.MACs
		own := map[string]string{}
		for _, iface := range slices.Sorted(maps.Keys(macs)) {
			// A bridge or bond has the address of one of its cards.
			if mac := macs[iface]; mac != "" && (own[mac] == "" || k.speaks(h, iface)) {
				own[mac] = iface
			}
		}
		for mac, iface := range own {
			all[mac] = append(all[mac], h.Name+" ("+iface+")")
			if k.speaks(h, iface) {
				speak[mac] = append(speak[mac], h.Name)
			}
		}
	}
	for _, mac := range slices.Sorted(maps.Keys(all)) {
		switch {
		case len(speak[mac]) > 1:
			k.err("", "mac", "give each network card its own address", "%s have the same MAC address %s", strings.Join(speak[mac], " and "), mac)
		case len(all[mac]) > 1:
			k.warn("", "mac", "it does no harm unless these interfaces are on one network; then give each its own address",
				"%s have the same MAC address %s", strings.Join(all[mac], " and "), mac)
		}
	}
}

// speaks tells whether an interface of a host is one that the cluster uses: that of the
// host's address, or on a control plane that of the virtual IP.
func (k *checker) speaks(h v1alpha1.Host, iface string) bool {
	return iface == k.o[h.Name].Facts.Interface || h.Has(v1alpha1.RoleControlPlane) && iface == k.c.Spec.Keepalived.Interface
}

func (k *checker) architectures() {
	hosts := map[string][]string{}
	for _, h := range k.seen() {
		arch := k.o[h.Name].Facts.Arch
		hosts[arch] = append(hosts[arch], h.Name)
	}
	archs := slices.Sorted(maps.Keys(hosts))
	if len(archs) > 1 {
		var each []string
		for _, a := range archs {
			each = append(each, fmt.Sprintf("%s: %s", a, strings.Join(hosts[a], " ")))
		}
		k.err("", "architecture", "a cluster's hosts must be of one architecture for now", "the hosts are of different architectures (%s)", strings.Join(each, "; "))
		return
	}
	if k.in.Contents == nil || len(archs) == 0 {
		return
	}
	if err := k.in.Contents.Check(k.c.Spec.KubernetesVersion, archs[0], k.c.Spec.Network.Plugin); err != nil {
		k.err("", "bundle", "", "%v", err)
		return
	}
	if k.needsEtcd() {
		if err := k.in.Contents.CheckEtcd(k.c); err != nil {
			k.err("", "bundle", "", "%v", err)
		}
	}
}

// needsEtcd tells whether any of the hosts that were looked at has an etcd member, or is to have one.
func (k *checker) needsEtcd() bool {
	return slices.ContainsFunc(k.seen(), func(h v1alpha1.Host) bool { return isIn(k.c.EtcdMembers(), h) })
}

// authorities: one etcd CA, whose key is here, and one cluster CA.
func (k *checker) authorities() {
	etcd, cluster := map[string][]string{}, map[string][]string{}
	for _, h := range k.seen() {
		s := k.o[h.Name].Facts.State
		if s.EtcdCA != "" && k.ours(h.Name) {
			ca := k.oneEtcdCA(s.EtcdCA)
			etcd[ca] = append(etcd[ca], h.Name)
		}
		// Workers as well: clusters may have the same name, CAs are never the same.
		if s.ClusterCA != "" && k.ours(h.Name) {
			cluster[s.ClusterCA] = append(cluster[s.ClusterCA], h.Name)
		}
	}
	k.oneOf(etcd, "etcd-ca", "etcd CA")
	k.oneOf(cluster, "cluster-ca", "cluster CA")
	if len(cluster) == 1 && !k.in.Running && !clusterInUse(k.c, k.o) {
		for _, names := range cluster {
			k.err("", "cluster-ca", "take these hosts out of that cluster first, or name its control planes in the Cluster file",
				"%s joined a cluster of this name already, but no control plane of it is in the Cluster file", strings.Join(names, ", "))
		}
	}
	if len(etcd) != 1 || !clusterInUse(k.c, k.o) && !k.etcdHasData() {
		return
	}
	for theirs, names := range etcd {
		switch {
		case slices.Contains(k.in.EtcdCAs, theirs):
		case len(k.in.EtcdCAs) == 0:
			k.err("", "etcd-ca", "run it where the cluster was made, or copy that machine's state directory of this cluster here",
				"etcd runs already (%s), but the key of its CA is not on this machine", strings.Join(names, ", "))
		default:
			k.err("", "etcd-ca", "give the new cluster another metadata.name, or use the state directory with which the running one was made",
				"etcd runs already (%s) with another CA than the one on this machine", strings.Join(names, ", "))
		}
	}
}

// ownCAs: hosts that have a CA already have the one that the user has given. That of external etcd is
// compared with what is on this machine.
func (k *checker) ownCAs() {
	for _, f := range ownFields(v1alpha1.PKI{}) {
		want, given := k.in.OwnCAs[f.authority]
		if !given {
			continue
		}
		others := map[string][]string{}
		for _, h := range k.seen() {
			s := k.o[h.Name].Facts.State
			has := map[certs.Authority]string{certs.AuthorityKubernetes: s.ClusterCA, certs.AuthorityFrontProxy: s.FrontProxyCA}[f.authority]
			if f.authority == certs.AuthorityEtcd && k.c.Stacked() {
				has = s.KubeadmEtcdCA
			}
			if has != "" && has != want && k.ours(h.Name) {
				others[has] = append(others[has], h.Name)
			}
		}
		for _, has := range slices.Sorted(maps.Keys(others)) {
			k.err("", "own-ca", fmt.Sprintf("the CA of a cluster is replaced by kubectl ha certs rotate-ca %s --ca-cert FILE --ca-key FILE; remove %s from the Cluster file, or name the CA there that is in use", f.authority, f.path()),
				"%s is another CA (%.16s) than the one that is in use on %s (%.16s)", f.path(), want, strings.Join(others[has], ", "), has)
		}
	}
}

// oneEtcdCA takes the CAs of a rotation for one: hosts have it one after the other.
func (k *checker) oneEtcdCA(fingerprint string) string {
	if slices.Contains(k.in.EtcdCAs, fingerprint) {
		return k.in.EtcdCAs[0]
	}
	return fingerprint
}

func (k *checker) etcdHasData() bool {
	return slices.ContainsFunc(k.c.EtcdMembers(), func(h v1alpha1.Host) bool { return k.o[h.Name].Facts.State.EtcdData })
}

func (k *checker) oneOf(owners map[string][]string, check, what string) {
	if len(owners) < 2 {
		return
	}
	var each []string
	for _, ca := range slices.Sorted(maps.Keys(owners)) {
		each = append(each, fmt.Sprintf("%s: %.12s", strings.Join(owners[ca], " "), ca))
	}
	k.err("", check, "they were parts of different clusters; take apart the ones that are not of this one",
		"the hosts have different %ss (%s)", what, strings.Join(each, "; "))
}

// routerID: somebody else's advertisements with our router id make two clusters
// fight for their addresses.
func (k *checker) routerID() {
	id := int(k.c.Spec.Keepalived.RouterID)
	var heard []string
	for _, h := range k.c.ControlPlanes() {
		if slices.Contains(k.o[h.Name].Facts.VRRPRouters, id) {
			heard = append(heard, h.Name)
		}
	}
	if len(heard) == 0 || k.in.Running || slices.ContainsFunc(k.c.ControlPlanes(), func(h v1alpha1.Host) bool {
		return k.ours(h.Name) && k.o[h.Name].Facts.VirtualIPHere
	}) {
		return
	}
	k.err("", "router-id", "set spec.keepalived.routerID to a number that is free in this network",
		"the VRRP router id %d is in use by others in this network (heard on %s)", id, strings.Join(heard, ", "))
}
