package bootstrap

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
)

const (
	mib = 1 << 20
	gib = 1 << 30

	// kubeadm's own minimum for a control plane, and less for what has no apiserver.
	minControlPlaneMemory = 1700 * mib
	minWorkerMemory       = 512 * mib
	minControlPlaneCPUs   = 2

	// What a node needs on its disk when the bundle's size is not known, besides
	// it when it is, and to go on when it is prepared already.
	unknownBundle  = 3 * gib
	roomToWork     = 1 * gib
	roomWhenReady  = 256 * mib
	roomForEtcd    = 512 * mib
	growth         = 3  // a compressed blob, and what it is unpacked to
	evictionMargin = 15 // percent: the kubelet collects images below it (imagefs.available)
)

func (k *checker) belongs(h v1alpha1.Host, o HostObservation) {
	switch ours := o.Facts.Ours; {
	case ours != nil && ours.Cluster != k.c.Metadata.Name:
		k.err(h.Name, "other-cluster", "take the host out of that cluster first, or correct metadata.name in the Cluster file",
			"the host belongs to the cluster %q, not to %q", ours.Cluster, k.c.Metadata.Name)
	case ours != nil && ours.Identity != "" && k.in.Identity != "" && ours.Identity != k.in.Identity:
		k.err(h.Name, "other-cluster", "compare the host's address: it is another cluster's. A host that is taken from that one is freed by uninstall with its Cluster file, or by node remove --clean",
			"the host belongs to another cluster that is called %q as well: the etcd CA of that is %.12s, of this one %.12s", ours.Cluster, ours.Identity, k.in.Identity)
	case ours != nil && ours.Identity != "" && k.in.Identity == "" && !k.in.Running:
		k.err(h.Name, "other-cluster", "run it where the cluster was made, or copy that machine's state directory of this cluster here. When that is lost and the hosts hold nothing of worth: kubectl ha uninstall --unidentified",
			"the host belongs to a cluster that is called %q as well, whose etcd CA (%.12s) is not on this machine", ours.Cluster, ours.Identity)
	case len(o.Facts.Leftovers) > 0 && !o.done(tasks.Init) && !o.done(tasks.JoinNode) && !o.done(tasks.Promote):
		k.err(h.Name, "leftovers", "remove them when they are of no use any more (kubeadm reset -f removes kubeadm's), or choose another host",
			"there is something left of another cluster: %s", strings.Join(o.Facts.Leftovers, ", "))
	}
}

func (k *checker) system(h v1alpha1.Host, o HostObservation) {
	if o.Facts.Systemd == "" {
		k.err(h.Name, "systemd", "use a distribution with systemd", "systemd does not run there (%s)", o.Facts.OS.PrettyName)
	}
	if a := o.Facts.Arch; a != "amd64" && a != "arm64" {
		k.err(h.Name, "architecture", "use amd64 or arm64 hosts", "the architecture %q is not supported", a)
	}
}

func (k *checker) cgroups(h v1alpha1.Host, o HostObservation) {
	if !isIn(k.c.Nodes(), h) {
		return
	}
	switch o.Facts.CgroupVersion {
	case 2:
	case 1:
		// KEP-4569: from 1.35 on the kubelet refuses version 1 unless told otherwise.
		minor, err := v1alpha1.MinorOf(k.c.Spec.KubernetesVersion)
		fail, set := k.kubelet("failCgroupV1")
		if err == nil && minor >= 35 && (!set || fail) {
			k.err(h.Name, "cgroups", "boot it with cgroup version 2, or set spec.kubeadm.kubeletConfiguration.failCgroupV1: false",
				"it has cgroup version 1, which the kubelet of %s refuses", k.c.Spec.KubernetesVersion)
		}
	default:
		k.err(h.Name, "cgroups", "mount cgroup version 2 at /sys/fs/cgroup", "it has no cgroups")
		return
	}
	var missing []string
	for _, need := range []string{"cpu", "memory", "pids", "cpuset"} {
		if !slices.Contains(o.Facts.Controllers, need) {
			missing = append(missing, need)
		}
	}
	if len(missing) > 0 {
		k.bad(h.Name, "cgroups", "SystemVerification", "enable them on the kernel's command line (cgroup_enable=memory), or in the container's settings",
			"cgroup controllers are missing: %s", strings.Join(missing, ", "))
	}
}

func (k *checker) size(h v1alpha1.Host, o HostObservation) {
	minimum, check := uint64(minWorkerMemory), k.warn
	if h.Has(v1alpha1.RoleControlPlane) {
		minimum, check = minControlPlaneMemory, func(host, check, hint, format string, args ...any) {
			k.bad(host, check, "Mem", hint, format, args...)
		}
		if o.Facts.CPUs < minControlPlaneCPUs {
			k.bad(h.Name, "cpus", "NumCPU", "a control plane needs two; use a larger host, or spec.kubeadm.ignorePreflightErrors: [NumCPU]",
				"it has only %d processor(s)", o.Facts.CPUs)
		}
	}
	if o.Facts.MemoryBytes < minimum {
		check(h.Name, "memory", fmt.Sprintf("it needs %d MiB", minimum/mib), "it has only %d MiB of memory", o.Facts.MemoryBytes/mib)
	}
}

// need is what is still to be put on a host's disk, in bytes.
func (k *checker) need(h v1alpha1.Host, o HostObservation) uint64 {
	if o.done(tasks.Prepare) {
		return roomWhenReady
	}
	if k.in.Contents == nil {
		return unknownBundle
	}
	return growth*uint64(k.in.Contents.For(roles(k.c, h)).Size()) + roomToWork
}

func (k *checker) disk(h v1alpha1.Host, o HostObservation) {
	need := k.need(h, o)
	var seen []observe.Disk
	for _, place := range []string{"/var/lib", observe.ImagesDir, "/"} {
		d, ok := o.Facts.Disks[place]
		// The same file system is named once; / matters when it is the only one known.
		if !ok || slices.Contains(seen, d) || place == "/" && len(seen) > 0 {
			continue
		}
		seen = append(seen, d)
		if d.FreeBytes < need {
			k.err(h.Name, "disk", fmt.Sprintf("make room: %d MiB are needed there", need/mib), "only %d MiB are free in %s", d.FreeBytes/mib, place)
		} else if left := d.FreeBytes - need; isIn(k.c.Nodes(), h) && left < d.TotalBytes/100*evictionMargin {
			k.warn(h.Name, "disk", "give it a larger disk; below 15 % free the kubelet removes images, below 10 % it evicts pods",
				"%s will be fuller than the kubelet likes: %d of %d MiB will be left", place, left/mib, d.TotalBytes/mib)
		}
	}
	if e, ok := o.Facts.Disks[k.c.Spec.Etcd.DataDir]; ok && isIn(k.c.EtcdMembers(), h) && e.FreeBytes < roomForEtcd {
		k.err(h.Name, "disk", fmt.Sprintf("make room: %d MiB are needed there", roomForEtcd/mib),
			"only %d MiB are free for etcd in %s", e.FreeBytes/mib, k.c.Spec.Etcd.DataDir)
	}
}

func (k *checker) swap(h v1alpha1.Host, o HostObservation) {
	if o.Facts.SwapBytes == 0 || !isIn(k.c.Nodes(), h) {
		return
	}
	if fail, set := k.kubelet("failSwapOn"); set && !fail {
		return
	}
	k.err(h.Name, "swap", "swapoff -a and take it out of /etc/fstab, or set spec.kubeadm.kubeletConfiguration.failSwapOn: false",
		"swap is on (%d MiB), with which the kubelet does not start", o.Facts.SwapBytes/mib)
}

// commands: those of kubeadm's checks that are fatal.
func (k *checker) commands(h v1alpha1.Host, o HostObservation) {
	if !isIn(k.c.Nodes(), h) {
		return
	}
	var missing []string
	for _, name := range []string{"ip", "mount"} {
		if o.Facts.Commands[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		k.err(h.Name, "commands", "install them with the host's package manager (iproute2 has ip, util-linux has mount)",
			"commands are missing: %s", strings.Join(missing, ", "))
	}
}

// programDirs are the directories in which programs are put on a host: the agent, those
// of Kubernetes and etcd, and the network plugins'.
func programDirs(c *v1alpha1.Cluster, h v1alpha1.Host) []string {
	dirs := []string{host.ProgramsDir, "/usr/local/bin"}
	if isIn(c.Nodes(), h) {
		dirs = append(dirs, "/opt/cni/bin")
	}
	return dirs
}

// programs: what can't be started is better said before anything is copied.
func (k *checker) programs(h v1alpha1.Host, o HostObservation) {
	for _, dir := range slices.Sorted(maps.Keys(o.Facts.NoPrograms)) {
		k.err(h.Name, "programs", "its file system must be writable and mounted without noexec, and with SELinux its label must be one that systemd may start (restorecon -R "+dir+")",
			"programs can't be kept and started in %s: %s", dir, o.Facts.NoPrograms[dir])
	}
}

func (k *checker) ports(h v1alpha1.Host, o HostObservation) {
	for _, p := range portsOf(k.c, h) {
		who := o.Facts.Listeners[p.number]
		if who == "" || k.ours(h.Name) && p.is(who) {
			continue
		}
		k.err(h.Name, "port", fmt.Sprintf("stop it, or let it use another port: %s needs this one", p.process),
			"port %d is taken by %s", p.number, who)
	}
}

func (k *checker) keepalived(h v1alpha1.Host, o HostObservation) {
	if !h.Has(v1alpha1.RoleControlPlane) || !k.c.KeepsVirtualIP() {
		return
	}
	if o.Facts.ForeignKeepalived {
		k.err(h.Name, "keepalived", "is it in use? If not, remove /etc/keepalived/keepalived.conf",
			"there is a keepalived.conf that kubectl ha did not write")
	}
	have := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return o.Facts.Commands[n] != "" })
	}
	if !have("keepalived") && !have("apt-get", "dnf", "zypper") {
		k.err(h.Name, "keepalived", "install keepalived (2.2 or later) there by hand",
			"keepalived is missing, and there is no package manager known to kubectl ha (apt-get, dnf, zypper)")
	}
}

// etcdData: data whose origin nobody has written down is nobody's to touch.
func (k *checker) etcdData(h v1alpha1.Host, o HostObservation) {
	if isIn(k.c.EtcdMembers(), h) && o.Facts.State.EtcdData && o.Facts.Ours == nil && len(o.Facts.Leftovers) == 0 {
		k.err(h.Name, "etcd-data", "if it is of no use any more, move it away; or set spec.etcd.dataDir",
			"there is etcd data in %s that kubectl ha did not make", k.c.Spec.Etcd.DataDir)
	}
	// A control plane that is still to be made has no member of kubeadm's own etcd yet.
	begun := !k.c.Stacked() || o.controlPlaneMade()
	if isIn(k.c.EtcdMembers(), h) && !o.Facts.State.EtcdData && !k.in.Running && k.inUse() && begun {
		k.err(h.Name, "etcd-lost", "a new member is added with kubectl ha node add, a lost one replaced with kubectl ha node replace; restore "+k.c.Spec.Etcd.DataDir+" if it is on a disk that is not mounted",
			"the cluster is in use, but this etcd member has no data in %s", k.c.Spec.Etcd.DataDir)
	}
}

// topology: etcd stays where it was made.
func (k *checker) topology(h v1alpha1.Host, o HostObservation) {
	const hint = "put spec.etcd.topology back; another topology takes a new cluster"
	switch {
	case !k.ours(h.Name):
	case k.c.Stacked() && o.done(tasks.Etcd):
		k.err(h.Name, "etcd-topology", hint, "etcd runs under systemd there, and spec.etcd.topology is %s", k.c.Spec.Etcd.Topology)
	case !k.c.Stacked() && o.Facts.State.StackedEtcd:
		k.err(h.Name, "etcd-topology", hint, "etcd is a static pod of kubeadm's there, and spec.etcd.topology is %s", k.c.Spec.Etcd.Topology)
	}
}

// inUse tells whether any control plane of this cluster has a CA, and with it
// what an apiserver may have written into etcd.
func (k *checker) inUse() bool { return clusterInUse(k.c, k.o) }
